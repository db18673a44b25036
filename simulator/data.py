"""A server's data by plain commands, as drainers, spools and the closer read it."""

from uuid import UUID

from apps.limiter.api import (
    MARK_FIELDS,
    Entry,
    Mark,
    Purse,
    decode_entry,
    decode_mark,
    decode_purse,
    journal_key,
    live_key,
    mark_key,
    purse_key,
)
from apps.limiter.twin import Twin
from apps.limiter.twin_store import Store


def mark(twin: Twin, shard: int) -> Mark:
    """``HMGET`` of a shard's mark."""
    stored = twin.store.hgetall(mark_key(shard))
    return decode_mark([stored.get(name) for name in MARK_FIELDS])


def journal(twin: Twin, shard: int, count: int) -> list[Entry]:
    """``XRANGE`` of a shard's journal, from its beginning."""
    entries = twin.store.streams.get(journal_key(shard), [])[:count]
    return [
        decode_entry(entry.encode(), {name.encode(): value for name, value in told.items()}) for entry, told in entries
    ]


def purse(twin: Twin, account: UUID) -> Purse | None:
    """``HGETALL`` of an account's purse."""
    return purse_at(twin, purse_key(account))


def purse_at(twin: Twin, key: str) -> Purse | None:
    """The purse of this key, if it is one."""
    fields = twin.store.hgetall(key)
    return decode_purse({name.encode(): value for name, value in fields.items()}) if ":purse:" in key else None


def live(twin: Twin, shard: int) -> list[str]:
    """``ZRANGE`` of the holds in R."""
    return sorted(twin.store.zsets.get(live_key(shard), {}))


def copy_of(twin: Twin) -> Twin:
    """The same server at this moment. Values are never changed in place, so the containers are enough."""
    store = twin.store
    return Twin(
        twin.run_id,
        twin.now_ms,
        Store(
            {key: dict(fields) for key, fields in store.hashes.items()},
            {key: dict(scores) for key, scores in store.zsets.items()},
            dict(store.strings),
            {key: list(entries) for key, entries in store.streams.items()},
            dict(store.deadlines),
            list(store.agenda),
        ),
    )
