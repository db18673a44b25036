"""The run: rounds in which every subject has one turn, so that a disturbance of the machine meets all of them alike."""

import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

from benchmarks import nginx, processes, turns
from benchmarks.machine import Cores
from benchmarks.subjects import Bank, Site, Stub, Subject
from benchmarks.turns import Plan, Sample
from leaky_tokens.local.ports import free_port

Samples = dict[str, list[Sample]]
"""By subject, one per round."""

BankOpener = Callable[[], Bank]


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over the rounds."""

    median: float
    low: float
    high: float


@contextmanager
def running_stub(directory: Path, cores: Cores) -> Iterator[Stub]:
    """The upstream of all subjects on the load's core, ready; both halves end with the block."""
    stub = Stub(free_port(), free_port())
    plain = processes.start(
        nginx.stub_command(directory / "stub", stub.plain_port), core=cores.load, log=directory / "stub-plain.log"
    )
    streaming = processes.start(
        [sys.executable, "-m", "benchmarks.sse_stub", str(stub.stream_port)],
        core=cores.load,
        log=directory / "stub-streams.log",
    )
    try:
        processes.wait_until_ready(plain, stub.plain_port, "/livez")
        processes.wait_until_ready(streaming, stub.stream_port, "/livez")
        yield stub
    finally:
        plain.stop()
        streaming.stop()


class Interleaved:
    """Plays the rounds. The order is turned by one place per round, so that nobody is always the first."""

    def __init__(self, directory: Path, cores: Cores, plan: Plan, stub: Stub, bank: BankOpener) -> None:
        self._directory, self._cores, self._plan, self._stub, self._bank = directory, cores, plan, stub, bank
        self._port = free_port()
        self._rates: dict[str, float] = {}
        self.about: dict[str, str] = {}

    def play(self, makers: Mapping[str, Callable[[Site], Subject]], tell: Callable[[str], None]) -> Samples:
        """One sample per subject and round. A subject's fixed rate is chosen in its first turn and kept."""
        samples: Samples = {name: [] for name in makers}
        for round_number in range(self._plan.rounds):
            for name in rotated(list(makers), round_number):
                sample = self._turn(name, makers[name])
                samples[name].append(sample)
                tell(f"round {round_number + 1}/{self._plan.rounds}  {name:<14} {sample.requests_per_second:>8.0f}/s")
        return samples

    def _turn(self, name: str, make: Callable[[Site], Subject]) -> Sample:
        site = Site(self._directory / name, self._port, self._stub, self._bank)
        subject = make(site)
        child = processes.start(
            subject.command,
            core=self._cores.subject,
            log=self._directory / f"{name}.log",
            environment=subject.environment,
        )
        try:
            processes.wait_until_ready(child, subject.port, subject.ready_path)
            sample = turns.play(subject, child, self._stub, self._cores, self._plan, self._rates.get(name, 0.0))
        finally:
            child.stop()
        self._rates[name], self.about[name] = sample.rate, subject.about
        return sample


def rotated(names: Sequence[str], places: int) -> list[str]:
    """``names`` begun ``places`` later."""
    start = places % len(names)
    return [*names[start:], *names[:start]]


def spreads(samples: Sequence[Sample]) -> dict[str, Spread]:
    """Median, lowest and highest of every figure over the rounds."""
    return {figure.name: _spread([getattr(sample, figure.name) for sample in samples]) for figure in fields(Sample)}


def ratios(samples: Samples, subject: str, baseline: str) -> Spread:
    """Saturated requests per second of ``subject`` by those of ``baseline``, round by round."""
    pairs = zip(samples[subject], samples[baseline], strict=True)
    return _spread([one.requests_per_second / other.requests_per_second for one, other in pairs])


def _spread(values: Sequence[float]) -> Spread:
    return Spread(statistics.median(values), min(values), max(values))
