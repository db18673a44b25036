"""One turn of one subject: started anew, asked for streams, for all it can, and at a fixed rate; then stopped."""

import http.client
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import orjson

from benchmarks import pace, processes, saturation, streams, workload
from benchmarks.machine import Cores
from benchmarks.subjects import Stub, Subject

WARM_SECONDS = 1.0
"""Load that nobody counts: code is specialised, pools are filled."""

SLOW_SECONDS = 20.0
"""For how long a subject is measured that cannot answer all connections while it is warmed: else it has no answers."""

FIRST_STEPS_RATE = 50.0
"""Requests per second before the streams: what is made once (imports, pools) is not the memory of a stream."""

RATE_SHARE = 0.5
"""The share of its saturated rate at which a subject is asked that cannot do the planned fixed rate."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how much. ``rate`` is requests per second; streams are kept open ``stream_repeats`` times over."""

    seconds: float
    rounds: int
    rate: float
    streams: int
    stream_repeats: int


@dataclass(frozen=True, slots=True)
class Sample:
    """What one turn showed. Shares are of one core; ``stores`` are PostgreSQL and Valkey together."""

    requests_per_second: float
    cpu_us_per_request: float
    stores_cpu_us_per_request: float
    core_share: float
    foreign_share: float
    """What others, the hypervisor among them, took of the subject's core while it was saturated."""
    rate: float
    p50_ms: float
    p99_ms: float
    direct_p50_ms: float
    direct_p99_ms: float
    added_p50_ms: float
    added_p99_ms: float
    sent_late_p99_ms: float
    """How late the load itself was in sending."""
    cpu_us_per_chunk: float
    stream_core_share: float
    stream_stretch: float
    """Median length of a stream by its nominal length; above 1.1 the subject or the load did not keep up."""
    rss_kb_per_stream: float
    failures: int


@dataclass(slots=True)
class _Meter:
    """What the subject, its stores and everything on its core used within a span of time."""

    wall: float = 0.0
    subject: float = 0.0
    stores: float = 0.0
    core: float = 0.0


@dataclass(frozen=True, slots=True)
class _Turn:
    subject: Subject
    process_id: int
    stub: Stub
    cores: Cores
    plan: Plan

    def use(self) -> processes.Use:
        return processes.use_of([self.process_id])

    def request(self, *, stream: bool) -> bytes:
        path = self.subject.stream_path if stream else self.subject.plain_path
        headers = {**self.subject.headers, **(self.subject.stream_headers if stream else {})}
        return workload.http_request(path, workload.request_body(stream=stream), headers)

    @contextmanager
    def metered(self) -> Iterator[_Meter]:
        """Fill the meter with the differences between the end of the block and its beginning."""
        meter = _Meter()
        before = self._readings()
        yield meter
        meter.wall, meter.subject, meter.stores, meter.core = (
            late - early for late, early in zip(self._readings(), before, strict=True)
        )

    def _readings(self) -> tuple[float, float, float, float]:
        stores = processes.use_of(self.subject.store_process_ids).cpu_seconds
        return time.monotonic(), self.use().cpu_seconds, stores, processes.busy_seconds(self.cores.subject)


def play(subject: Subject, child: processes.Child, stub: Stub, cores: Cores, plan: Plan, rate: float) -> Sample:
    """Measure ``subject``, which runs as ``child``. ``rate`` 0: choose the fixed rate by what it can do.

    Streams come first, after a few calls only: a load would leave free memory in the process, and streams that grow
    into it would seem to need none.

    Raises:
        UnfitSubjectError: the subject does not give the stub's answer.
    """
    turn = _Turn(subject, child.process.pid, stub, cores, plan)
    _insist_on_answer(subject, child)
    pace.send_at_rate(subject.port, turn.request(stream=False), rate=FIRST_STEPS_RATE, seconds=0)
    streamed = _streams(turn)
    warmed = _saturate(turn, WARM_SECONDS)
    saturated = _saturation(turn, plan.seconds if warmed.requests > saturation.CONNECTIONS else SLOW_SECONDS)
    rate = rate or chosen_rate(saturated["requests_per_second"], plan)
    paced = _pace(turn, rate)
    failures = int(streamed.pop("failures") + saturated.pop("failures") + paced.pop("failures"))
    return Sample(**streamed, **saturated, **paced, rate=rate, failures=failures)


def chosen_rate(requests_per_second: float, plan: Plan) -> float:
    """The planned rate where the subject has room for it, else half of what it can do."""
    return min(plan.rate, max(1.0, float(round(requests_per_second * RATE_SHARE))))


def _saturate(turn: _Turn, seconds: float) -> saturation.Saturated:
    url = f"http://127.0.0.1:{turn.subject.port}{turn.subject.plain_path}"
    return saturation.saturate(url, workload.request_body(stream=False), turn.subject.headers, seconds=seconds)


def _saturation(turn: _Turn, seconds: float) -> dict[str, float]:
    with turn.metered() as meter:
        run = _saturate(turn, seconds)
    answered = max(1, run.requests)  # the slowest subjects may not have one answer within a second
    return {
        "requests_per_second": run.requests / run.seconds,
        "cpu_us_per_request": meter.subject / answered * 1e6,
        "stores_cpu_us_per_request": meter.stores / answered * 1e6,
        "core_share": meter.subject / meter.wall,
        "foreign_share": max(0.0, (meter.core - meter.subject) / meter.wall),
        "failures": run.failures,
    }


def _pace(turn: _Turn, rate: float) -> dict[str, float]:
    """The subject and, just before it, the stub itself at the same rate; ``added`` is the difference of the two."""
    request = turn.request(stream=False)
    direct = pace.send_at_rate(turn.stub.plain_port, request, rate=rate, seconds=turn.plan.seconds / 2)
    through = pace.send_at_rate(turn.subject.port, request, rate=rate, seconds=turn.plan.seconds)
    p50, p99 = (pace.percentile(through.latencies, share) * 1000 for share in (0.5, 0.99))
    direct_p50, direct_p99 = (pace.percentile(direct.latencies, share) * 1000 for share in (0.5, 0.99))
    return {
        "p50_ms": p50,
        "p99_ms": p99,
        "direct_p50_ms": direct_p50,
        "direct_p99_ms": direct_p99,
        "added_p50_ms": p50 - direct_p50,
        "added_p99_ms": p99 - direct_p99,
        "sent_late_p99_ms": pace.percentile(through.lateness, 0.99) * 1000,
        "failures": direct.failures + through.failures,
    }


def _streams(turn: _Turn) -> dict[str, float]:
    before = turn.use().resident_bytes
    with turn.metered() as meter:
        run = streams.open_streams(
            turn.subject.port,
            turn.request(stream=True),
            count=turn.plan.streams,
            repeats=turn.plan.stream_repeats,
            resident=lambda: turn.use().resident_bytes,
        )
    return {
        "cpu_us_per_chunk": meter.subject / max(1, run.chunks) * 1e6,
        "stream_core_share": meter.subject / meter.wall,
        "stream_stretch": pace.percentile(run.lengths, 0.5) / streams.NOMINAL_SECONDS,
        "rss_kb_per_stream": (run.peak_resident_bytes - before) / max(1, run.peak_open) / 1024,
        "failures": run.failures,
    }


def _insist_on_answer(subject: Subject, child: processes.Child) -> None:
    """One call through the subject must bring the stub's usage: a fast refusal is not a measurement."""
    connection = http.client.HTTPConnection("127.0.0.1", subject.port, timeout=10)
    headers = {"content-type": "application/json", **subject.headers}
    connection.request("POST", subject.plain_path, workload.request_body(stream=False), headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    if answer.status != http.HTTPStatus.OK or orjson.loads(body)["usage"]["completion_tokens"] != 16:
        said = f"{subject.name} answered {answer.status}: {body[:500]!r}"
        raise processes.UnfitSubjectError(f"{said}\n{child.log_tail()}")
