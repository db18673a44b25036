"""The provider: what every call really generates. Nothing else in a run knows the truth before it is told."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from apps.quotas.domain import Budget
from simulator.world import Process, Steps, World


class Stage(StrEnum):
    """Where a call stands in truth: held but not sent, being generated, over."""

    HELD = "held"
    RUNNING = "running"
    OVER = "over"


@dataclass(eq=False, slots=True)
class Call:
    """A call as it really is. ``amount`` is what is held for it, ``generated`` what the provider made in the end.

    ``reported`` is the progress of the last heartbeat that was answered.
    """

    id: UUID
    account: UUID
    gateway: str
    amount: int
    total: int = 0
    started_ms: int = 0
    length_ms: int = 1
    generation: int = 1
    budgets: tuple[Budget, ...] = ()
    stage: Stage = Stage.HELD
    generated: int = 0
    hung_up: bool = False
    reported: int = 0

    @property
    def told(self) -> int:
        """What somebody will charge once it is over: all, but of a call whose gateway died what that had reported."""
        return self.reported if self.hung_up else self.generated

    def made_by(self, now: int) -> int:
        """Tokens generated until ``now``: the prompt counts at once, the rest comes evenly."""
        if self.stage is not Stage.RUNNING:
            return self.generated
        share = min(max(now - self.started_ms, 0), self.length_ms)
        prompt = self.total // 4
        return prompt + (self.total - prompt) * share // self.length_ms


@dataclass(eq=False, slots=True)
class Provider:
    """Generates what it is asked for until it is done or its connection is gone. Tells ``changed`` of every change."""

    world: World
    changed: Callable[[Call], None]
    calls: dict[UUID, Call] = field(default_factory=dict)
    process: Process = field(default_factory=lambda: Process("provider"))

    def start(self, call: Call, total: int, length_ms: int) -> None:
        """Begin to generate ``total`` tokens, evenly over ``length_ms``."""
        call.total, call.length_ms = total, length_ms
        call.started_ms, call.stage = self.world.now, Stage.RUNNING
        self.calls[call.id] = call
        self.world.spawn(self.process, self._finish(call), after=length_ms)
        self.changed(call)

    def grow(self, call: Call, tokens: int) -> None:
        """So much more is held for a call, and it may come to as much more."""
        if call.stage is Stage.RUNNING:
            call.total += int(tokens * self.world.rng.random())
        call.amount += tokens
        self.changed(call)

    def stop(self, call: Call) -> int:
        """The connection is gone, or the answer was read to its end: what was generated."""
        if call.stage is not Stage.OVER:
            call.generated, call.stage = call.made_by(self.world.now), Stage.OVER
            self.changed(call)
        return call.generated

    def hang_up(self, holds: Iterable[UUID]) -> None:
        """The gateway of these calls died before it had written how they ended, and all its connections with it."""
        for call in (self.calls[hold] for hold in holds if hold in self.calls):
            call.hung_up = True
            self.stop(call)
            self.changed(call)

    def _finish(self, call: Call) -> Steps[None]:
        self.stop(call)
        yield from ()
