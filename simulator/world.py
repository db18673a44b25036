"""Time, chance and processes: one seed decides everything, and nothing waits for a real clock.

A process is a set of generators. Between two ``yield``s a generator does one thing that is atomic in the real system (a
call that Valkey executes, a transaction that commits, a line written to a file), so a kill, a freeze or another
process can come between any two of them. A ``yield`` gives the milliseconds until the generator goes on.
"""

from collections import Counter, deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from random import Random
from typing import TypeVar
from uuid import UUID

T = TypeVar("T")
Steps = Generator[int, None, T]
"""What a process does: yields waits in ms, returns what it came to."""

REMEMBERED_EVENTS = 60


@dataclass(eq=False, slots=True)
class Process:
    """Something that can die or freeze. A new ``life`` begins with every start; steps of an older one never go on."""

    name: str
    life: int = 0
    alive: bool = True
    frozen_until: int = 0

    def die(self) -> None:
        """SIGKILL: nothing more happens in this life."""
        self.alive, self.life = False, self.life + 1

    def start(self) -> None:
        """A new life."""
        self.alive, self.frozen_until = True, 0


@dataclass(slots=True)
class World:
    """One run: its time in ms since the beginning of the world, its dice, and who goes on when."""

    seed: int
    now: int = 0
    watch: Callable[[], None] = lambda: None
    tell: Callable[[str], None] | None = None
    faults: Counter[str] = field(default_factory=Counter)
    events: deque[str] = field(default_factory=lambda: deque(maxlen=REMEMBERED_EVENTS))
    steps: int = 0
    rng: Random = field(init=False)
    _agenda: list[tuple[int, int, Process, int, Steps[object]]] = field(default_factory=list)
    _order: int = 0

    def __post_init__(self) -> None:
        self.rng = Random(self.seed)

    def spawn(self, process: Process, steps: Steps[T], after: int = 0) -> None:
        """Let ``process`` begin something ``after`` ms from now."""
        self._put(self.now + after, process, process.life, steps)

    def run(self, until: int) -> None:
        """Go on until ``until`` (ms), watching after every step."""
        while self._agenda and self._agenda[0][0] <= until:
            due, _, process, life, steps = heappop(self._agenda)
            self.now = max(self.now, due)
            if process.life != life:
                continue
            if process.frozen_until > self.now:
                self._put(process.frozen_until, process, life, steps)
                continue
            self._advance(process, life, steps)
        self.now = max(self.now, until)

    def _advance(self, process: Process, life: int, steps: Steps[object]) -> None:
        self.steps += 1
        try:
            wait = next(steps)
        except StopIteration:
            pass
        else:
            self._put(self.now + wait, process, life, steps)
        self.watch()

    def _put(self, due: int, process: Process, life: int, steps: Steps[object]) -> None:
        self._order += 1
        heappush(self._agenda, (due, self._order, process, life, steps))

    def uuid(self) -> UUID:
        """An id that the seed decides."""
        return UUID(int=self.rng.getrandbits(128), version=4)

    def chance(self, probability: float) -> bool:
        """Whether something happens that happens with ``probability``."""
        return self.rng.random() < probability

    def fault(self, kind: str, what: str = "") -> None:
        """Count a fault that was injected."""
        self.faults[kind] += 1
        self.log(f"FAULT {kind} {what}")

    def log(self, event: str) -> None:
        """Remember an event, and print it when the run is traced."""
        line = f"{self.now / 1000:10.3f}s {event}"
        self.events.append(line)
        if self.tell:
            self.tell(line)
