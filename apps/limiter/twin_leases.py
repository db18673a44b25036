"""``lua/leases.lua`` and ``lua/sweep.lua`` over the twin's store."""

from collections.abc import Sequence
from dataclasses import dataclass

from apps.limiter.twin_holds import Reply, TwinHold, own_purse, read_hold, write_ended
from apps.limiter.twin_purse import (
    PURSE_KEPT_MS,
    Journal,
    TwinPurse,
    append,
    budget_moves,
    budgets_in,
    read_purse,
    write_purse,
)
from apps.limiter.twin_store import Store, Value

PARTS_KEPT, PARTS_KEPT_MS = 128, 48 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a lease as ``grant`` and ``topup`` get it."""

    run: str
    id: str
    account: str
    gen: str
    ep: int
    lease_run: str
    amount: int
    budgets: dict[str, int]
    ttl: int
    passes: int
    not_after: int
    now: int


@dataclass(frozen=True, slots=True)
class Pass:
    """What a sweep works with."""

    run: str
    live: str
    quarantine: str
    journal: Journal
    tag: str
    number: int
    kept_passes: int
    tombstone_ms: int


def grant(store: Store, keys: Sequence[str], args: Sequence[bytes], now: int) -> Reply:
    """See ``lua/leases.lua``."""
    part = _part(args, now)
    if part.lease_run != part.run:
        return [b"run", 0]
    if now > part.not_after:
        return [b"late", 0]
    old = read_purse(store, keys[0], budgets_in(store, keys[0]))
    if old and not (int(old.gen), old.ep) < (int(part.gen), part.ep):
        return [b"stale", old.av]
    if old:
        _return_old(store, old, part, Journal(keys[2], keys[3], part.run, now))
    live = old.lv if old and old.run == part.run else 0
    _new_purse(store, keys[0], part, store.number(keys[3], "pass"), live)
    _remember(store, keys[1], part.id, now)
    return [b"ok", part.amount]


def topup(store: Store, keys: Sequence[str], args: Sequence[bytes], now: int) -> Reply:
    """See ``lua/leases.lua``."""
    part = _part(args, now)
    purse = read_purse(store, keys[0], part.budgets)
    if now > part.not_after:
        return [b"late", 0]
    if store.zscore(keys[1], part.id) is not None:
        return [b"dup", purse.av if purse else 0]
    if not purse or purse.run != part.run or purse.run != part.lease_run or purse.closed:
        return [b"nolease", 0]
    if not purse.is_of(part.run, part.gen, part.ep):
        return [b"stale", purse.av]
    available, exp, px = purse.av + part.amount, now + part.ttl, store.number(keys[2], "pass") + part.passes
    store.hset(keys[0], gr=purse.gr + part.amount, av=available, hi=available, exp=exp, px=px)
    grown = [(f"b:{budget}", purse.left[budget] + tokens) for budget, tokens in part.budgets.items()]
    store.hset_all(keys[0], [("from", now), *grown])
    store.pexpireat(keys[0], now + part.ttl + PURSE_KEPT_MS)
    _remember(store, keys[1], part.id, now)
    return [b"ok", available]


def recall(store: Store, keys: Sequence[str], args: Sequence[bytes], now: int) -> Reply:
    """See ``lua/leases.lua``."""
    run, recall_id, account, gen, epoch, most, closes = (arg.decode() for arg in args[:7])
    if store.zscore(keys[1], recall_id) is not None:
        return [b"dup", 0, b"", b""]
    close = closes == "1"
    purse = read_purse(store, keys[0], budgets_in(store, keys[0]) if close else ())
    if not purse or not purse.is_of(run, gen, int(epoch)):
        return [b"stale", 0, b"", b""]
    tokens = purse.av if close else min(purse.av, int(most))
    budgets = _returned_budgets(purse) if close else ""
    names = (b"", b"")
    if tokens > 0 or budgets:
        names = _append_return(store, Journal(keys[2], keys[3], run, now), account, recall_id, purse, tokens, budgets)
    purse.av, purse.rt = purse.av - tokens, purse.rt + tokens
    if close:
        purse.left = dict.fromkeys(purse.left, 0)
        store.hset(keys[0], st="closed")
    write_purse(store, purse)
    _remember(store, keys[1], recall_id, now)
    return [b"ok", tokens, *names]


def sweep(store: Store, keys: Sequence[str], args: Sequence[bytes], now: int) -> Reply:
    """See ``lua/sweep.lua``."""
    run = args[0].decode()
    limit, pass_ms, missed, kept_passes, tombstone_ms = (int(arg) for arg in args[1:6])
    number = _begin_pass(store, keys[3], pass_ms, now)
    tag = keys[0].partition(":")[0]
    ask = Pass(run, keys[0], keys[1], Journal(keys[2], keys[3], run, now), tag, number, kept_passes, tombstone_ms)
    silent = store.upto(ask.live, number - missed)[:limit]
    for hold_id in silent:
        _sweep_live(store, ask, hold_id)
    freed = store.upto(ask.quarantine, number)[:limit]
    for hold_id in freed:
        _sweep_quarantine(store, ask, hold_id)
    return [number, len(silent), len(freed), int(limit in {len(silent), len(freed)})]


def _part(args: Sequence[bytes], now: int) -> Part:
    run, part_id, account, gen, epoch, lease_run, amount, listed, ttl, passes, late = (
        arg.decode() for arg in args[:11]
    )
    words = listed.split()
    budgets = dict(zip(words[::2], map(int, words[1::2]), strict=True))
    numbers = (int(ttl), int(passes), int(late), now)
    return Part(run, part_id, account, gen, int(epoch), lease_run, int(amount), budgets, *numbers)


def _remember(store: Store, parts: str, part_id: str, now: int) -> None:
    store.zadd(parts, max(now, store.highest(parts) + 1), part_id)
    ranked = store.ranked(parts)
    store.zrem(parts, [member for _, member in ranked[: max(len(ranked) - PARTS_KEPT, 0)]])
    store.pexpireat(parts, now + PARTS_KEPT_MS)


def _return_old(store: Store, old: TwinPurse, part: Part, journal: Journal) -> None:
    if old.run != part.run or old.gen != part.gen:
        return
    budgets = _returned_budgets(old)
    if old.av > 0 or budgets:
        _append_return(store, journal, part.account, part.id, old, old.av, budgets)


def _new_purse(store: Store, key: str, part: Part, number: int, live: int) -> None:
    store.delete(key)
    store.hset(key, run=part.run, gen=part.gen, ep=part.ep, exp=part.now + part.ttl, px=number + part.passes, st="open")
    store.hset(key, gr=part.amount, av=part.amount, rs=0, sp=0, qz=0, rt=0, hi=part.amount, lv=live, us=part.now)
    store.hset_all(key, [("from", part.now), *((f"b:{name}", tokens) for name, tokens in part.budgets.items())])
    store.pexpireat(key, part.now + part.ttl + PURSE_KEPT_MS)


def _returned_budgets(purse: TwinPurse) -> str:
    return " ".join(f"{budget},0,{left}" for budget, left in purse.left.items() if left > 0)


def _append_return(
    store: Store, journal: Journal, account: str, subject: str, purse: TwinPurse, tokens: int, budgets: str
) -> tuple[bytes, bytes]:
    return append(store, journal, "R", subject, a=account, e=purse.ep, g=purse.gen, n=tokens, r=tokens, bu=budgets)


def _begin_pass(store: Store, mark: str, pass_ms: int, now: int) -> int:
    number, passed = store.number(mark, "pass"), store.number(mark, "passed")
    if passed <= now < passed + pass_ms:
        return number
    store.hset_all(mark, [("pass", number + 1), ("passed", now)])
    return number + 1


def _sweep_live(store: Store, ask: Pass, hold_id: str) -> None:
    hold = read_hold(store, f"{ask.tag}:hold:{hold_id}")
    if hold is None or hold.st != "R":
        store.zrem(ask.live, [hold_id])
    elif hold.run == ask.run:
        _sweep_hold(store, ask, hold_id, hold, quarantines=True)
    else:
        store.zrem(ask.live, [hold_id])
        store.zadd(ask.quarantine, ask.number + ask.kept_passes, hold_id)


def _sweep_hold(store: Store, ask: Pass, hold_id: str, hold: TwinHold, *, quarantines: bool) -> None:
    purse, own = own_purse(store, f"{ask.tag}:purse:{hold.account}", hold)
    charged = min(hold.progress, hold.amount)
    kept = rest = returned = 0
    if purse and own:
        purse.rs, purse.sp, rest = purse.rs - hold.amount, purse.sp + charged, hold.amount - charged
        if quarantines:
            purse.qz, kept, rest = purse.qz + rest, rest, 0
        returned = purse.give_rest(rest)
    moves = budget_moves(purse if own else None, hold.budgets, charged, rest)
    told: dict[str, Value] = {
        "n": hold.amount,
        "c": charged,
        "r": returned,
        "pr": hold.progress,
        "f": hold.facts,
        "bu": moves,
    }
    _, entry = append(store, ask.journal, "X", hold_id, a=hold.account, e=hold.ep, g=hold.gen, **told)
    write_ended(store, purse, hold, own=own)
    if hold.claim and store.hget(hold.claim, "h") == hold_id.encode():
        store.delete(hold.claim)
    store.hset(hold.key, st="X", ch=charged, q=kept, ev=entry)
    store.zrem(ask.live, [hold_id])
    if kept > 0:
        store.zadd(ask.quarantine, ask.number + ask.kept_passes, hold_id)
    else:
        store.zrem(ask.quarantine, [hold_id])
        store.pexpireat(hold.key, ask.journal.now + ask.tombstone_ms)


def _sweep_quarantine(store: Store, ask: Pass, hold_id: str) -> None:
    hold = read_hold(store, f"{ask.tag}:hold:{hold_id}")
    if hold and hold.st == "X" and hold.kept > 0:
        _free_rest(store, ask, hold_id, hold)
    elif hold and hold.st == "R" and store.zscore(ask.live, hold_id) is None:
        _sweep_hold(store, ask, hold_id, hold, quarantines=False)
    store.zrem(ask.quarantine, [hold_id])


def _free_rest(store: Store, ask: Pass, hold_id: str, hold: TwinHold) -> None:
    purse, own = own_purse(store, f"{ask.tag}:purse:{hold.account}", hold)
    if purse and own:
        purse.qz -= hold.kept
        returned = purse.give_rest(hold.kept)
        budgets = budget_moves(purse, hold.budgets, 0, hold.kept)
        if returned > 0:
            _append_return(store, ask.journal, hold.account, hold_id, purse, returned, budgets)
        write_purse(store, purse)
    store.hset(hold.key, q=0)
    store.pexpireat(hold.key, ask.journal.now + ask.tombstone_ms)
