"""The independent witness: what the provider's own log says of the ledger, at every line of it."""

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import UUID

from django.db.models import F, Sum
from django.db.models.expressions import Combinable

from apps.quotas import api as quotas
from apps.quotas.models import Hold
from tests.faults.site.load import Call


@dataclass(frozen=True, slots=True)
class Served:
    """One call as the provider saw it, from its log."""

    request_id: str
    arrived: float
    ended: float
    bound: int
    """The most that it may have generated: prompt and cap."""
    generated: int
    """What it did: prompt and output."""
    usage: int | None
    client_left: bool


@dataclass(slots=True)
class Peak:
    """The most that an account's calls had spent, or might still spend, at one moment."""

    now: int = 0
    most: int = 0

    def add(self, tokens: int) -> None:
        """Move, and remember the highest."""
        self.now += tokens
        self.most = max(self.most, self.now)


@dataclass(slots=True)
class Log:
    """The provider's log, read on from where the last reading ended."""

    file: Path
    _offset: int = 0
    _open: dict[int, dict[str, Any]] = field(default_factory=dict)
    served: dict[str, list[Served]] = field(default_factory=lambda: defaultdict(list))

    def read(self) -> None:
        """Take in what has been written since."""
        with self.file.open("rb") as stream:
            stream.seek(self._offset)
            for line in stream:
                if not line.endswith(b"\n"):
                    break
                self._offset += len(line)
                self._take(json.loads(line))

    def under_way(self) -> int:
        """Calls that the provider has not ended."""
        self.read()
        return len(self._open)

    def _take(self, line: dict[str, Any]) -> None:
        if line["event"] == "arrived":
            self._open[line["call"]] = line
            return
        arrived = self._open.pop(line["call"])
        name = str(line["request_id"])
        self.served[name].append(
            Served(
                request_id=name,
                arrived=arrived["monotonic"],
                ended=line["monotonic"],
                bound=arrived["prompt_tokens"] + (arrived["max_tokens"] or 0),
                generated=line["prompt_tokens"] + line["tokens_generated"],
                usage=line["usage"]["total_tokens"] if line["usage"] else None,
                client_left=line["client_left"],
            )
        )


def charges(calls: Iterable[Call]) -> dict[str, int]:
    """What the ledger charged each of these calls, by request id."""
    return _booked(calls, F("charged"))


def costs(calls: Iterable[Call]) -> dict[str, int]:
    """The same with what the house bore of them."""
    return _booked(calls, F("charged") + F("absorbed"))


def _booked(calls: Iterable[Call], of_hold: Combinable) -> dict[str, int]:
    holds = Hold.objects.filter(request_id__in=[call.request_id for call in calls])
    sums = holds.values_list("request_id").annotate(tokens=Sum(of_hold))
    return defaultdict(int, sums)


def oversold(calls: Iterable[Call], log: Log) -> list[str]:
    """Accounts that at some moment had charged, together with what was under way, more than they were granted.

    A call weighs its bound while the provider works on it, and what the ledger charged for it before and after: at
    each line of the log, so no moment is missed. Where holds grow, it weighs what it was charged in the end: what was
    held for it at a moment, the provider cannot know.
    """
    sent = list(calls)
    charged = charges(sent)
    peaks = {account: peak_of(changes) for account, changes in _changes(sent, charged, log).items()}
    granted = {account: quotas.balance(account).granted for account in peaks}
    return [
        f"{account}: {peak} of {granted[account]} tokens" for account, peak in peaks.items() if peak > granted[account]
    ]


def peak_of(changes: list[tuple[float, int]]) -> int:
    """The highest running sum; at one moment, what falls comes first."""
    peak = Peak()
    for _, tokens in sorted(changes):
        peak.add(tokens)
    return peak.most


def changes_of(served: Iterable[Served], charged: int) -> list[tuple[float, int]]:
    """What one call weighs, and when that changes (monotonic): its bound while it is under way, then its charge."""
    return [change for one in served for change in ((one.arrived, one.bound), (one.ended, charged - one.bound))]


def _changes(calls: list[Call], charged: dict[str, int], log: Log) -> dict[UUID, list[tuple[float, int]]]:
    changes: dict[UUID, list[tuple[float, int]]] = defaultdict(list)
    for call in calls:
        served, charge = log.served.get(call.request_id, []), charged.get(call.request_id, 0)
        if call.payer.grows:
            served = [replace(one, bound=min(one.generated, charge)) for one in served]
        weights = changes_of(served, charge)
        changes[call.payer.account] += weights
    return changes
