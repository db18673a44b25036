"""Between values and the library's functions: values to KEYS and ARGV, a reply to values. No client, no connection.

The library is the files in ``lua/``, one after the other. Its name and those of its functions end in the first eight
hex digits of its SHA-256, so that two versions live side by side while gateways are replaced.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Generic, TypeVar, cast
from uuid import UUID

from apps.limiter import keys
from apps.limiter.domain import FOREVER_MS, REQUEST, Decision, Policy, ceil_div
from apps.limiter.journal import EntryKind
from apps.limiter.messages import (
    Admitted,
    Applied,
    AppliedKind,
    Beat,
    Ended,
    EndedKind,
    Ending,
    Extended,
    ExtendedKind,
    Order,
    PartOfLease,
    Pulse,
    Purse,
    Recall,
    Recalled,
    RecalledKind,
    Refusal,
    RefusalKind,
    Requests,
    Sweep,
    Swept,
)

T = TypeVar("T")
Argument = str | int | bytes

PARTS = ("clock", "bucket", "purse", "journal", "holds", "leases", "sweep", "register")
"""The library's files, in the order in which they build on each other."""

REMEMBERED_POLICIES = 1024


@dataclass(frozen=True, slots=True)
class Library:
    """What ``FUNCTION LOAD`` takes, and the version in its names."""

    text: str
    version: str

    @property
    def name(self) -> str:
        """The library's name in Valkey."""
        return f"leaky_{self.version}"


@dataclass(slots=True, unsafe_hash=True)
class Call(Generic[T]):
    """One ``FCALL function numkeys *keys run_id *args``: ``run_id`` is what the connection read when it connected.

    The last of ``args`` is the time, empty for the server's own clock.
    """

    function: str
    keys: tuple[str, ...]
    args: tuple[Argument, ...]
    decode: Callable[[object], T]

    def at(self, now_ms: int) -> "Call[T]":
        """The call at a time of the caller's choice (Unix ms): for tests and the simulator only."""
        return replace(self, args=(*self.args[:-1], now_ms))


def load() -> Library:
    """Read the library, once, at import."""
    folder = Path(__file__).with_name("lua")
    body = "\n".join((folder / f"{part}.lua").read_text() for part in PARTS)
    version = hashlib.sha256(body.encode()).hexdigest()[:8]
    return Library(f'#!lua name=leaky_{version}\nlocal VERSION = "{version}"\n{body}', version)


LIBRARY = load()


def reserve_call(order: Order) -> Call[Admitted | Refusal]:
    """Admit a call, or say which limit refuses it.

    Raises:
        ValueError: fewer than no tokens.
    """
    if order.amount < 0:
        raise ValueError("a hold is never negative")
    of, hold, claim = keys.keys_of(order.account), str(order.hold), order.claim
    names: tuple[str, ...] = (
        of.purse, of.bucket, of.rpm, of.queue, f"{of.tag}:hold:{hold}", of.live, of.journal, of.mark,
        f"{of.tag}:dead:{order.credential}", f"{of.tag}:tv:{order.user}",
    )  # fmt: skip
    if claim is not None:
        names = (*names, keys.claim_key(order.account, claim.key))
    args = (
        hold,
        of.account,
        order.amount,
        order.generation,
        _or_empty(order.token_version),
        order.facts,
        " ".join(order.budgets),
        order.journal_limit,
        _policy(order.policy),
        *((claim.fingerprint, claim.ttl_ms) if claim else ()),
    )
    return _call("reserve", names, args, partial(_reserved, order.policy))


def heartbeat_call(beat: Beat) -> Call[Pulse]:
    """Say that a call lives, and what it has cost so far."""
    of = keys.keys_of(beat.account)
    credential = (f"{of.tag}:dead:{beat.credential}", f"{of.tag}:tv:{beat.user}")
    names = (f"{of.tag}:hold:{beat.hold}", of.live, of.mark, *credential)
    args = (str(beat.hold), beat.progress, _or_empty(beat.token_version))
    return _call("heartbeat", names, args, lambda reply: Pulse(_text(reply)))


def extend_call(account: UUID, hold: UUID, tokens: int, policy: Policy) -> Call[Extended | Refusal]:
    """Grow a live hold by ``tokens``: from its own purse, within the bucket.

    Raises:
        ValueError: fewer than one token.
    """
    if tokens < 1:
        raise ValueError("a hold grows by one token at least")
    of = keys.keys_of(account)
    names = (of.purse, of.bucket, f"{of.tag}:hold:{hold}", of.mark)
    return _call("extend", names, (tokens, _policy(policy)), _extended)


def settle_call(ending: Ending) -> Call[Ended]:
    """End a call's hold with what it used.

    Raises:
        ValueError: fewer than no tokens.
    """
    if ending.actual < 0 or ending.amount < 0:
        raise ValueError("a charge is never negative")
    of, hold = keys.keys_of(ending.account), str(ending.hold)
    names: tuple[str, ...] = (
        of.purse, of.bucket, of.queue, f"{of.tag}:hold:{hold}", of.live, of.quarantine, of.journal, of.mark,
    )  # fmt: skip
    if ending.claim is not None:
        names = (*names, keys.claim_key(ending.account, ending.claim))
    args = (
        hold,
        of.account,
        ending.amount,
        ending.generation,
        ending.epoch,
        ending.actual,
        ending.payload,
        0 if ending.facts is None else 1,
        ending.facts or b"",
        " ".join(ending.budgets),
        ending.claim_end or "",
        ending.tombstone_ms,
        int(ending.before_start),
        _policy(ending.policy),
    )
    return _call("settle", names, args, _ended)


def grant_call(part: PartOfLease) -> Call[Applied]:
    """Write the purse of a new epoch. Sent once, never again: a repetition could find that Valkey has forgotten it."""
    of = keys.keys_of(part.account)
    return _call("grant", (of.purse, of.parts, of.journal, of.mark), _part_args(part), _applied)


def topup_call(part: PartOfLease) -> Call[Applied]:
    """Add a part to a living purse and prolong it. May be repeated: each part counts once."""
    of = keys.keys_of(part.account)
    return _call("topup", (of.purse, of.parts, of.mark), _part_args(part), _applied)


def recall_call(recall: Recall) -> Call[Recalled]:
    """Take tokens back out of a purse; the journal returns them to the ledger."""
    of = keys.keys_of(recall.account)
    args = (str(recall.id), str(recall.account), recall.generation, recall.epoch, recall.amount, int(recall.close))
    return _call("recall", (of.purse, of.parts, of.journal, of.mark), args, _recalled)


def sweep_call(shard: int, sweep: Sweep) -> Call[Swept]:
    """One pass over a shard's holds, if it is due, or the rest of one."""
    names = (keys.live_key(shard), keys.quarantine_key(shard), keys.journal_key(shard), keys.mark_key(shard))
    args = (sweep.limit, sweep.pass_ms, sweep.missed, sweep.quarantine, sweep.tombstone_ms)
    return _call("sweep", names, args, _swept)


def drained_call(shard: int, journal_id: str, upto: str, entries: Sequence[str]) -> Call[bool]:
    """Delete ``entries``, which the ledger has, and say that it has everything up to ``upto``.

    False: the journal is not the one that was read; nothing was done, and it is to be read again.
    """
    names = (keys.journal_key(shard), keys.mark_key(shard))
    return _call("drained", names, (journal_id, upto, " ".join(entries)), lambda reply: reply == 1)


def note_call(shard: int, kind: EntryKind, note: UUID, payload: bytes) -> Call[tuple[str, str]]:
    """Append an entry that moves nothing. The answer is the journal's identity and the entry's id."""
    names = (keys.journal_key(shard), keys.mark_key(shard))
    return _call("note", names, (str(kind), str(note), payload), _noted)


def revoke_calls(credential: str, ttl_ms: int) -> list[Call[bool]]:
    """A credential is dead, in every shard, for as long as anybody may still believe in it."""
    names = [keys.dead_key(shard, credential) for shard in range(keys.SHARDS)]
    return [_call("revoke", (name,), (ttl_ms,), lambda reply: reply == 1) for name in names]


def raise_version_calls(user: str, version: int, ttl_ms: int) -> list[Call[bool]]:
    """Tokens of a user with a version below ``version`` are dead, in every shard. It is never lowered."""
    names = [keys.version_key(shard, user) for shard in range(keys.SHARDS)]
    return [_call("raise_version", (name,), (version, ttl_ms), lambda reply: reply == 1) for name in names]


def pour_call(account: UUID, hold: UUID, policy: Policy, tokens: int) -> Call[Admitted | Refusal]:
    """Bucket and requests per minute alone, for a backend that keeps its holds elsewhere. No purse: epoch 0, live 0.

    Raises:
        ValueError: fewer than no tokens.
    """
    if tokens < 0:
        raise ValueError("a pour is never negative; adjust takes tokens out")
    of = keys.keys_of(account)
    args = (str(hold), tokens, _policy(policy))
    return _call("pour", (of.bucket, of.rpm, of.queue), args, partial(_reserved, policy))


def adjust_call(
    account: UUID, hold: UUID, policy: Policy, delta_tokens: int, *, poured_ms: int, before_start: bool = False
) -> Call[int]:
    """Correct an earlier pour: negative takes the unused part out, positive adds an overrun.

    ``poured_ms`` is :attr:`Admitted.poured_ms`. The reply is the level afterwards, in micro-tokens.
    """
    of = keys.keys_of(account)
    args = (str(hold), delta_tokens, poured_ms, int(before_start), _policy(policy))
    return _call("adjust", (of.bucket, of.queue), args, lambda reply: cast("int", reply))


def decode_purse(fields: Mapping[bytes, bytes]) -> Purse | None:
    """A purse, from ``HGETALL``; None if there is none."""
    if not fields:
        return None
    numbers = {name: int(fields[key]) for name, key in _PURSE_NUMBERS.items()}
    budgets = sorted((name[2:].decode(), int(left)) for name, left in fields.items() if name.startswith(b"b:"))
    closed = fields[b"st"] == b"closed"
    return Purse(run_id=fields[b"run"].decode(), closed=closed, budgets=tuple(budgets), **numbers)


_PURSE_NUMBERS = {
    "generation": b"gen",
    "epoch": b"ep",
    "expires_ms": b"exp",
    "granted": b"gr",
    "available": b"av",
    "reserved": b"rs",
    "spent": b"sp",
    "quarantined": b"qz",
    "returned": b"rt",
    "live": b"lv",
    "used_ms": b"us",
}


def _call(operation: str, names: Sequence[str], args: Sequence[Argument], decode: Callable[[object], T]) -> Call[T]:
    return Call(f"{operation}_{LIBRARY.version}", tuple(names), (*args, ""), decode)


@lru_cache(maxsize=REMEMBERED_POLICIES)
def _policy(policy: Policy) -> str:
    """All of a policy in one argument: few differ, and the library remembers those that it has met."""
    counts = ("-" if count is None else count for count in policy.counts)
    bucket = (policy.bucket.capacity, policy.bucket.leak, policy.strategy, policy.mode)
    return " ".join(str(word) for word in (*bucket, policy.patience, policy.window, *counts))


def _part_args(part: PartOfLease) -> tuple[Argument, ...]:
    if part.amount < 0 or any(tokens < 0 for _, tokens in part.budgets):
        raise ValueError("a part is never negative")
    budgets = " ".join(f"{name} {tokens}" for name, tokens in part.budgets)
    of = (str(part.id), str(part.account), part.generation, part.epoch, part.run_id)
    return (*of, part.amount, budgets, part.ttl_ms, part.passes, part.not_after_ms)


def _reserved(policy: Policy, reply: object) -> Admitted | Refusal:
    word, *values = cast("list[bytes | int]", reply)
    if word == b"ok":
        return _admitted(policy, cast("list[int]", values))
    return _refused(RefusalKind(_text(word)), values)


def _admitted(policy: Policy, values: Sequence[int]) -> Admitted:
    epoch, available, low, left, live, level, start_in, empty_in, requests, reset, now = values
    decision = Decision(True, level, policy.bucket, start_in_ms=start_in, empty_in_ms=_forever(empty_in))  # noqa: FBT003
    limit = policy.requests_per_minute
    counted = None if limit is None else Requests(limit, limit - ceil_div(requests, REQUEST), reset)
    return Admitted(epoch, available, low == 1, left, live, decision, counted, now)


def _refused(kind: RefusalKind, values: Sequence[bytes | int]) -> Refusal:
    *numbers, name, run = values
    now, epoch, alive, limit, used, held, available, wait_ms = cast("list[int]", numbers)
    text, run_id = _text(name), _text(run)
    if kind in {RefusalKind.RUNNING, RefusalKind.MISMATCH, RefusalKind.REPLAY}:
        return Refusal(kind, now, epoch, hold=UUID(text), stored=available == 1, run_id=run_id)
    waits = _forever(wait_ms)
    return Refusal(kind, now, epoch, alive == 1, limit, used, held, available, waits, budget=text, run_id=run_id)


def _forever(milliseconds: int) -> int:
    """No double holds the largest 64-bit number: the library says -1."""
    return FOREVER_MS if milliseconds < 0 else milliseconds


def _ended(reply: object) -> Ended:
    kind, charged, absorbed, journal, entry = cast("tuple[bytes, int, int, bytes, bytes]", reply)
    return Ended(_ENDED_KINDS[kind], charged, absorbed, _text(journal), _text(entry))


_ENDED_KINDS = {kind.value.encode(): kind for kind in EndedKind}
"""A member by its bytes, at a fifth of what its own constructor takes."""


def _extended(reply: object) -> Extended | Refusal:
    word, *values = cast("list[bytes | int]", reply)
    if word in _EXTENDED_KINDS:
        amount, available = cast("list[int]", values)
        return Extended(_EXTENDED_KINDS[word], amount, available)
    return _refused(RefusalKind(_text(word)), values)


_EXTENDED_KINDS: dict[object, ExtendedKind] = {kind.value.encode(): kind for kind in ExtendedKind}


def _applied(reply: object) -> Applied:
    kind, available = cast("tuple[bytes, int]", reply)
    return Applied(AppliedKind(_text(kind)), available)


def _recalled(reply: object) -> Recalled:
    kind, tokens, journal, entry = cast("tuple[bytes, int, bytes, bytes]", reply)
    return Recalled(RecalledKind(_text(kind)), tokens, _text(journal), _text(entry))


def _swept(reply: object) -> Swept:
    number, swept, freed, more = cast("tuple[int, int, int, int]", reply)
    return Swept(number, swept, freed, more == 1)


def _noted(reply: object) -> tuple[str, str]:
    journal, entry = cast("tuple[bytes, bytes]", reply)
    return _text(journal), _text(entry)


def _text(reply: object) -> str:
    return cast("bytes", reply).decode()


def _or_empty(number: int | None) -> Argument:
    return "" if number is None else number
