"""The spool of this process: what it has admitted and what became of that, until the ledger has it.

Valkey may lose what it has acknowledged, and a gateway may die at any moment. What either of them forgets, the other
tells: a line goes to the file when a call is admitted and one when it has ended, and what the ledger's mark does not
cover is settled again, by this process or by the one that adopts its file.

    ["A", wall ms, boot ms, hold, account, epoch, generation, amount, policy, budgets, claim, facts]    admitted
    ["G", hold, amount]                                                                                 holds so much
    ["P", [[hold, tokens], …]]                                                                          so far
    ["E", hold, tokens, what becomes of the claim, left before its start, payload]                      ended
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import UUID

import orjson
import structlog

from apps.core.errors import StoreUnavailable
from apps.core.units import Usage
from gateway import strict_json
from gateway.control_plane import (
    TOMBSTONE_MS,
    Admitted,
    Bucket,
    ClaimEnd,
    Ended,
    JournalEnding,
    Mark,
    Mode,
    Policy,
    Settlement,
    Strategy,
    shard_of,
)
from gateway.quota import Demand
from gateway.spool_book import Book, position_of
from gateway.spool_file import Line, SpoolFile

log = structlog.get_logger("gateway.spool")

ROTATE_BYTES = 16 * 1024 * 1024
"""A file larger than this, of which most is covered, is written anew with what is not."""

MOST_WASTE = 4

_AMOUNT = 7
"""Where a line of admission has it."""


class Spool:
    """Its bookkeeping and its file, kept in step."""

    def __init__(self, file: SpoolFile, *, call_ms: int, resend_ms: int) -> None:
        self.file = file
        self.id = file.path.stem
        self.book: Book[JournalEnding] = Book(call_ms=call_ms, resend_ms=resend_ms)
        self.is_registered = False
        """Whether the ledger knows of it, and so will wait for it."""
        self._lines: dict[UUID, bytes] = {}
        self._kept = 0

    def admitted(self, demand: Demand, admitted: Admitted) -> None:
        """Keep that a call was admitted, before it leaves.

        Raises:
            StoreUnavailable: it cannot be kept, or the ledger would not wait for it; the call must not leave.
        """
        if not self.is_registered:
            raise StoreUnavailable("the ledger does not know this process's spool yet")
        terms, now = demand.terms, boot_ms()
        line = strict_json.dumps(
            [
                "A", time.time_ns() // 1_000_000, now, demand.hold, terms.account, admitted.epoch, demand.generation,
                demand.amount, orjson.Fragment(_policy_json(terms.policy)), [budget.id for budget in demand.budgets],
                None if demand.claim is None else demand.claim.key, orjson.Fragment(demand.facts_json),
            ],
            option=orjson.OPT_APPEND_NEWLINE,
        )  # fmt: skip
        self.file.append_raw(line)
        self._keep(demand.hold, line)
        self.book.admit(demand.hold, shard_of(terms.account), now)

    def grown(self, demand: Demand) -> None:
        """Keep what a call's hold has grown to."""
        line = orjson.dumps(["G", demand.hold, demand.amount], option=orjson.OPT_APPEND_NEWLINE)
        self._try_to_append(line)
        if demand.hold in self._lines:
            self._keep(demand.hold, self._lines[demand.hold] + line)

    def progress(self, live: Sequence[tuple[Demand, int]]) -> None:
        """Keep what calls have come to so far, so that a death of ours and of Valkey's at once loses little."""
        tokens = [[demand.hold, tokens] for demand, tokens in live if tokens]
        if tokens:
            self._try_to_append(orjson.dumps(["P", tokens], option=orjson.OPT_APPEND_NEWLINE))

    def ended(self, ending: JournalEnding) -> None:
        """Keep how a call ended. A disk that does not take it makes it rest on this process alone."""
        line = _end_line(ending)
        self._try_to_append(line)
        if ending.hold in self._lines:
            self._keep(ending.hold, self._lines[ending.hold] + line)
        self.book.end(ending.hold, ending, boot_ms())

    def acknowledged(self, hold: UUID, ended: Ended) -> None:
        """The journal has a call's end."""
        self.book.acknowledge(hold, ended.journal_id, position_of(ended.entry_id))

    def cover(self, shard: int, mark: Mark) -> None:
        """The ledger has a shard's journal up to its mark."""
        for hold in self.book.cover(shard, mark.journal_id, position_of(mark.at)):
            self._kept -= len(self._lines.pop(hold, b""))

    def adopt(self, lines: Iterable[Line]) -> int:
        """Take over what a dead process's file has; returns how many calls that are.

        Raises:
            StoreUnavailable: our own file does not take it; nothing was taken over.
        """
        dead = [call for call in _calls_of(lines) if call.ending.hold not in self.book]
        texts = {call.ending.hold: call.admission + _end_line(call.ending) for call in dead}
        self.file.append_raw(b"".join(texts.values()))
        for call in dead:
            hold = call.ending.hold
            self._keep(hold, texts[hold])
            self.book.adopt(hold, shard_of(call.ending.account), boot_ms() - call.age_ms, call.ending)
        return len(dead)

    def rotate(self) -> None:
        """Drop from the file what is covered, when that is most of a large file."""
        if self.file.size > max(ROTATE_BYTES, MOST_WASTE * self._kept):
            self.file.rewrite(self._lines.values())

    def _keep(self, hold: UUID, line: bytes) -> None:
        self._kept += len(line) - len(self._lines.get(hold, b""))
        self._lines[hold] = line

    def _try_to_append(self, line: bytes) -> None:
        try:
            self.file.append_raw(line)
        except StoreUnavailable as error:
            log.error("spool.not_written", reason=str(error))  # noqa: TRY400 - the cause is in the words


@dataclass(frozen=True, slots=True)
class _DeadCall:
    """A call of a dead process: its line of admission, how it ended, and how long ago it was admitted at most."""

    admission: bytes
    ending: JournalEnding
    age_ms: int


def _calls_of(lines: Iterable[Line]) -> Iterator[_DeadCall]:
    admissions: dict[str, Line] = {}
    endings: dict[str, Line] = {}
    progress: dict[str, int] = {}
    for line in lines:
        match line:
            case ["A", _, _, str(hold), *_]:
                admissions[hold] = line
            case ["G", str(hold), int(amount)] if hold in admissions:
                admissions[hold][_AMOUNT] = amount
            case ["E", str(hold), *_]:
                endings.setdefault(hold, line)
            case ["P", list(tokens)]:
                progress.update(tokens)
    for hold, admission in admissions.items():
        yield _dead_call(admission, endings.get(hold), progress.get(hold, 0))


def _dead_call(admission: Line, end: Line | None, progress: int) -> _DeadCall:
    _, wall, boot, hold, account, epoch, generation, amount, policy, budgets, claim, facts = admission
    # Of a machine that has started again since, its clock since the start says too little; a wall clock may be wrong.
    age_ms = max(time.time_ns() // 1_000_000 - wall, boot_ms() - boot, 0)
    if end is None:
        end = _expired(UUID(hold), UUID(account), progress, age_ms)
    _, _, actual, claim_end, before_start, payload = end
    ending = JournalEnding(
        hold=UUID(hold), account=UUID(account), epoch=epoch, generation=generation, amount=amount,
        policy=_policy_of(policy), actual=actual, payload=strict_json.dumps(payload), tombstone_ms=TOMBSTONE_MS,
        facts=strict_json.dumps(facts), budgets=tuple(budgets), claim=claim, claim_end=ClaimEnd(claim_end),
        before_start=before_start,
    )  # fmt: skip
    return _DeadCall(strict_json.dumps(admission, option=orjson.OPT_APPEND_NEWLINE), ending, age_ms)


def _expired(hold: UUID, account: UUID, progress: int, age_ms: int) -> Line:
    """The end of a call that died with its process: charged what it had come to when that was last kept."""
    source = "counted" if progress else "none"
    settlement = Settlement(hold, account, progress, Usage(), "expired", source, 0, age_ms, finished_by="spool")
    return ["E", str(hold), progress, ClaimEnd.FREE, False, orjson.loads(payload_of(settlement))]


def _end_line(ending: JournalEnding) -> bytes:
    return orjson.dumps(
        [
            "E", ending.hold, ending.actual, ending.claim_end or ClaimEnd.FREE, ending.before_start,
            orjson.Fragment(ending.payload),
        ],
        option=orjson.OPT_APPEND_NEWLINE,
    )  # fmt: skip


def payload_of(settlement: Settlement) -> bytes:
    """What the journal carries of a call's end, beside its hold and its charge."""
    return strict_json.dumps(
        {
            "usage": settlement.usage, "outcome": settlement.outcome, "usage_source": settlement.usage_source,
            "status": settlement.status, "latency_ms": settlement.latency_ms,
            "first_byte_ms": settlement.first_byte_ms, "finished_by": settlement.finished_by,
        }
    )  # fmt: skip


@lru_cache(maxsize=1024)
def _policy_json(policy: Policy) -> bytes:
    return orjson.dumps(
        [
            policy.bucket.capacity, policy.bucket.leak, policy.strategy, policy.mode, policy.max_wait_ms,
            policy.window_ms, policy.requests_per_minute, policy.concurrency,
        ]
    )  # fmt: skip


def _policy_of(plain: list[Any]) -> Policy:
    capacity, leak, strategy, mode, *limits = plain
    return Policy(Bucket(capacity, leak), Strategy(strategy), Mode(mode), *limits)


def boot_ms() -> int:
    """Milliseconds since this machine started: a clock that goes on through freezes, and never back."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000
