"""The library's functions over a dictionary, in Python: the same replies, the same state, byte for byte.

The simulator runs on it, without a server, with a clock, a crash and a lost write wherever it likes. A differential
test holds it against the Lua. The modules beside it are named like the Lua files that they mirror.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from apps.limiter import twin_bucket, twin_holds, twin_leases
from apps.limiter.script import Argument, Call
from apps.limiter.twin_bucket import Pour, policy_of
from apps.limiter.twin_purse import Journal, append, drain
from apps.limiter.twin_store import Dump, Store, dump_of, raw

__all__ = ["Dump", "Twin", "dump_of"]

T = TypeVar("T")
Reply = list[bytes | int] | bytes | int
Function = Callable[[Store, Sequence[str], Sequence[bytes], int], Reply]


@dataclass(slots=True)
class Twin:
    """One server: its ``run_id``, its clock in Unix ms, its data."""

    run_id: str = "0" * 40
    now_ms: int = 0
    store: Store = field(default_factory=Store)

    def call(self, function: str, keys: Sequence[str], args: Sequence[Argument]) -> Reply:
        """``FCALL``, with or without the version in the name; ``args`` begin with the run id and end with the time.

        An empty time is this server's clock. What has expired by then goes first.
        """
        name, _, version = function.rpartition("_")
        carry_out = FUNCTIONS.get(function) or FUNCTIONS[name if version else function]
        values = [raw(arg) for arg in args]
        now = int(values[-1] or self.now_ms)
        self.store.expire(now)
        return carry_out(self.store, keys, values, now)

    def run(self, call: Call[T], run_id: str | None = None) -> T:
        """Make a call, by a connection that read ``run_id`` when it connected."""
        args = (self.run_id if run_id is None else run_id, *call.args)
        return call.decode(self.call(call.function, call.keys, args))

    def expire(self, now_ms: int) -> list[str]:
        """Remove the keys whose time has come. Who repeats the calls on a real server deletes them there."""
        return self.store.expire(now_ms)

    def copy(self) -> "Twin":
        """The same server at this moment: what a replica or a file has of it."""
        return Twin(self.run_id, self.now_ms, self.store.copy())

    def dump(self) -> Dump:
        """All keys with content and deadline, as :func:`dump_of` tells them of a real Valkey."""
        return self.store.dump()


def _pour(store: Store, keys: Sequence[str], args: Sequence[bytes], now: int) -> Reply:
    pour = Pour(keys[0], keys[1], keys[2], args[1].decode(), int(args[2]), policy_of(args[3]), now)
    told = twin_bucket.refusal(store, pour)
    if told:
        return twin_holds.refused(told, None, args[0], now)
    return twin_holds.admitted([0] * 5, twin_bucket.fill(store, pour), now)


def _adjust(store: Store, keys: Sequence[str], args: Sequence[bytes], now: int) -> Reply:
    hold, delta, poured, leaves = (arg.decode() for arg in args[1:5])
    policy = policy_of(args[5])
    if leaves == "1":
        return twin_bucket.leave(store, Pour(keys[0], "", keys[1], hold, -int(delta), policy, now))
    return twin_bucket.correct(store, keys[0], policy, int(delta), int(poured), now)


def _note(store: Store, keys: Sequence[str], args: Sequence[bytes], now: int) -> Reply:
    run, kind, subject = (arg.decode() for arg in args[:3])
    return list(append(store, Journal(keys[0], keys[1], run, now), kind, subject, p=args[3]))


def _drained(store: Store, keys: Sequence[str], args: Sequence[bytes], now: int) -> Reply:
    run, identity, upto, entries = (arg.decode() for arg in args[:4])
    return drain(store, Journal(keys[0], keys[1], run, now), identity, upto, entries.split())


def _revoke(store: Store, keys: Sequence[str], args: Sequence[bytes], now: int) -> Reply:
    store.set(keys[0], 1, now + int(args[1]))
    return 1


def _raise_version(store: Store, keys: Sequence[str], args: Sequence[bytes], now: int) -> Reply:
    store.set(keys[0], max(int(store.get(keys[0]) or 0), int(args[1])), now + int(args[2]))
    return 1


FUNCTIONS: dict[str, Function] = {
    "reserve": twin_holds.reserve,
    "heartbeat": twin_holds.heartbeat,
    "extend": twin_holds.extend,
    "settle": twin_holds.settle,
    "sweep": twin_leases.sweep,
    "grant": twin_leases.grant,
    "topup": twin_leases.topup,
    "recall": twin_leases.recall,
    "revoke": _revoke,
    "raise_version": _raise_version,
    "note": _note,
    "drained": _drained,
    "pour": _pour,
    "adjust": _adjust,
}
