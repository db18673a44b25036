"""The goals that the design sets, and whether a run reaches them."""

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.interleave import Spread

NOISE = 1.5
"""On a shared machine a difference below this factor is not established."""


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure that must be at least (``at_least``) or at most ``must``."""

    text: str
    must: float
    at_least: bool
    unit: str


@dataclass(frozen=True, slots=True)
class Peer:
    """Another gateway, as measured once beside nginx on one core; the ratio carries over to other machines, roughly."""

    name: str
    requests_per_second: float
    nginx_requests_per_second: float
    must: float

    @property
    def share_of_nginx(self) -> float:
        """What it can do, nginx being 1."""
        return self.requests_per_second / self.nginx_requests_per_second


RATE = Goal("requests/s, nginx being 1:", 0.14, at_least=True, unit="x")
ADDED_P50 = Goal("added latency p50:", 0.5, at_least=False, unit=" ms")
ADDED_P99 = Goal("added latency p99:", 5.0, at_least=False, unit=" ms")
STREAM_MEMORY = Goal("memory growth per 1000 open streams:", 40.0, at_least=False, unit=" MB")
PLANNED_RATE = 2000.0
"""Requests per second at which the latency goals are meant."""

PEERS = (
    Peer("Portkey", 450, 58_000, must=14),
    Peer("LiteLLM proxy", 47.5, 58_000, must=150),
    Peer("Bifrost with budgets", 3560, 52_100, must=2),
    Peer("agentgateway with limits", 6750, 52_100, must=1.1),
)


def verdicts(figures: Mapping[str, Spread], ratio: Spread) -> list[list[str]]:
    """One row per goal: what is asked, what was found, the verdict."""
    rows = [_row(RATE, ratio)]
    rows += [_row(_against(peer), _scaled(ratio, 1 / peer.share_of_nginx)) for peer in PEERS]
    rows += [_latency_row(ADDED_P50, figures["added_p50_ms"], figures["rate"])]
    rows += [_latency_row(ADDED_P99, figures["added_p99_ms"], figures["rate"])]
    rows += [_row(STREAM_MEMORY, _scaled(figures["rss_kb_per_stream"], 1000 / 1024))]
    return [*rows, ["reserve and settle pairs/s, one hot account, alone: ≥ 5000", "", "not measured by this run"]]


def verdict(goal: Goal, value: float) -> str:
    """``met`` or ``not met``, and whether noise alone could have decided it."""
    met = value >= goal.must if goal.at_least else value <= goal.must
    factor = value / goal.must if value > goal.must else goal.must / max(value, 1e-9)
    doubt = "" if factor >= NOISE else f" (within {NOISE}x: not established)"
    return ("met" if met else "not met") + doubt


def _against(peer: Peer) -> Goal:
    return Goal(f"requests/s, {peer.name} being 1 (both by nginx):", peer.must, at_least=True, unit="x")


def _latency_row(goal: Goal, found: Spread, rate: Spread) -> list[str]:
    if rate.median >= PLANNED_RATE:
        return _row(goal, found)
    asked, value, _ = _row(goal, found)
    return [asked, f"{value}, at {rate.median:.0f}/s", f"not met (cannot do {PLANNED_RATE:.0f}/s)"]


def _row(goal: Goal, found: Spread) -> list[str]:
    sign = "≥" if goal.at_least else "≤"
    value = f"{found.median:.3g} [{found.low:.3g} … {found.high:.3g}]{goal.unit}"
    return [f"{goal.text} {sign} {goal.must:g}{goal.unit}", value, verdict(goal, found.median)]


def _scaled(spread: Spread, factor: float) -> Spread:
    return Spread(spread.median * factor, spread.low * factor, spread.high * factor)
