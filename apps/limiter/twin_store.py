"""What the twin keeps: hashes, sorted sets, strings and streams, with deadlines, as Valkey would have them.

Contents are bytes and whole numbers only. Keys go when the clock has passed their deadline, and when they are empty.
"""

import heapq
from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TypeAlias, cast

import redis

Value: TypeAlias = str | int | bytes
Content: TypeAlias = "dict[str, bytes] | dict[str, int] | bytes | list[tuple[str, dict[str, bytes]]]"
Dump: TypeAlias = "dict[str, tuple[Content, int | None]]"
"""Each key's content and deadline (Unix ms; None: it has none)."""


def raw(value: Value) -> bytes:
    """A value as it lies in the store."""
    return value if isinstance(value, bytes) else str(value).encode()


@dataclass(slots=True)
class Store:
    """The commands that the library uses, each as in Valkey."""

    hashes: dict[str, dict[str, bytes]] = field(default_factory=dict)
    zsets: dict[str, dict[str, int]] = field(default_factory=dict)
    strings: dict[str, bytes] = field(default_factory=dict)
    streams: dict[str, list[tuple[str, dict[str, bytes]]]] = field(default_factory=dict)
    deadlines: dict[str, int] = field(default_factory=dict)
    agenda: list[tuple[int, str]] = field(default_factory=list)

    def copy(self) -> "Store":
        """The same, changed by nobody else."""
        return Store(
            hashes={key: dict(fields) for key, fields in self.hashes.items()},
            zsets={key: dict(scores) for key, scores in self.zsets.items()},
            strings=dict(self.strings),
            streams={key: list(entries) for key, entries in self.streams.items()},
            deadlines=dict(self.deadlines),
            agenda=list(self.agenda),
        )

    def dump(self) -> Dump:
        """All keys, in a canonical form. See :func:`dump_of`."""
        contents: dict[str, Content] = {}
        for kind in (self.hashes, self.zsets, self.strings, self.streams):
            contents.update(cast("dict[str, Content]", kind))
        return {key: (deepcopy(contents[key]), self.deadlines.get(key)) for key in sorted(contents)}

    def expire(self, now_ms: int) -> list[str]:
        """Remove what has expired, and say what that was."""
        gone = []
        while self.agenda and self.agenda[0][0] < now_ms:
            deadline, key = heapq.heappop(self.agenda)
            if self.deadlines.get(key) == deadline:
                self.delete(key)
                gone.append(key)
        return gone

    def delete(self, key: str) -> None:
        """``DEL``."""
        for kind in (self.hashes, self.zsets, self.strings, self.streams, self.deadlines):
            cast("dict[str, object]", kind).pop(key, None)

    def pexpireat(self, key: str, moment: int | None) -> None:
        """``PEXPIREAT``, or ``PERSIST`` for None."""
        if not any(key in kind for kind in (self.hashes, self.zsets, self.strings, self.streams)):
            return
        if moment is None:
            self.deadlines.pop(key, None)
        else:
            self.deadlines[key] = moment
            heapq.heappush(self.agenda, (moment, key))

    def hget(self, key: str, name: str) -> bytes | None:
        """``HGET``."""
        return self.hashes.get(key, {}).get(name)

    def hgetall(self, key: str) -> dict[str, bytes]:
        """``HGETALL``; empty if there is none."""
        return self.hashes.get(key, {})

    def hset(self, key: str, **fields: Value) -> None:
        """``HSET`` of names that are words."""
        self.hset_all(key, fields.items())

    def hset_all(self, key: str, fields: Iterable[tuple[str, Value]]) -> None:
        """``HSET`` of any names."""
        self.hashes.setdefault(key, {}).update((name, raw(value)) for name, value in fields)

    def number(self, key: str, name: str) -> int:
        """A hash's field as a number, 0 if it has none."""
        return int(self.hget(key, name) or 0)

    def zadd(self, key: str, score: int, member: str) -> None:
        """``ZADD``."""
        self.zsets.setdefault(key, {})[member] = score

    def zrem(self, key: str, members: Iterable[str]) -> None:
        """``ZREM``."""
        kept = self.zsets.get(key, {})
        for member in members:
            kept.pop(member, None)
        if not kept and key in self.zsets:
            self.delete(key)

    def zscore(self, key: str, member: str) -> int | None:
        """``ZSCORE``."""
        return self.zsets.get(key, {}).get(member)

    def ranked(self, key: str) -> list[tuple[int, str]]:
        """All scores and members, least first."""
        return sorted((score, member) for member, score in self.zsets.get(key, {}).items())

    def upto(self, key: str, score: int) -> list[str]:
        """``ZRANGEBYSCORE key -inf score``."""
        return [member for found, member in self.ranked(key) if found <= score]

    def highest(self, key: str) -> int:
        """The highest score, 0 if there is none."""
        return max(self.zsets.get(key, {}).values(), default=0)

    def set(self, key: str, value: Value, deadline: int) -> None:
        """``SET … PXAT``."""
        self.strings[key] = raw(value)
        self.pexpireat(key, deadline)

    def get(self, key: str) -> bytes | None:
        """``GET``."""
        return self.strings.get(key)

    def xadd(self, key: str, entry: str, **fields: Value) -> None:
        """``XADD`` with an id of the caller's."""
        self.streams.setdefault(key, []).append((entry, {name: raw(value) for name, value in fields.items()}))

    def xdel(self, key: str, entries: Sequence[str]) -> None:
        """``XDEL``. A stream stays when it is empty."""
        if key in self.streams:
            self.streams[key] = [entry for entry in self.streams[key] if entry[0] not in entries]


def dump_of(client: redis.Redis) -> Dump:
    """All keys of a real Valkey's database, in the form of :meth:`Store.dump`.

    Deadlines are compared: calls with times of one's own must lie in the future, or Valkey's own clock ends the keys.
    """
    names = sorted(key.decode() for key in client.scan_iter())
    return {key: (_content(client, key), _deadline(client, key)) for key in names}


def _deadline(client: redis.Redis, key: str) -> int | None:
    deadline = client.pexpiretime(key)
    return None if deadline < 0 else deadline


def _content(client: redis.Redis, key: str) -> Content:
    kind = cast("bytes", client.type(key))
    if kind == b"hash":
        return {name.decode(): value for name, value in cast("dict[bytes, bytes]", client.hgetall(key)).items()}
    if kind == b"zset":
        scored = cast("list[tuple[bytes, float]]", client.zrange(key, 0, -1, withscores=True))
        return {member.decode(): int(score) for member, score in scored}
    if kind == b"stream":
        entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", client.xrange(key))
        return [(entry.decode(), {name.decode(): value for name, value in told.items()}) for entry, told in entries]
    return cast("bytes", client.get(key))
