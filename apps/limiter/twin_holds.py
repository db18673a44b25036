"""``lua/holds.lua`` over the twin's store: reserve, heartbeat, extend, settle."""

from collections.abc import Sequence
from dataclasses import dataclass

from apps.limiter import twin_bucket
from apps.limiter.twin_bucket import Filled, Pour, Told, policy_of
from apps.limiter.twin_purse import Journal, TwinPurse, append, budget_moves, read_purse, write_purse
from apps.limiter.twin_store import Store, Value

Reply = list[bytes | int]


@dataclass(slots=True)
class TwinHold:
    """A hold as a function reads it."""

    key: str
    st: str
    account: str
    gen: str
    ep: int
    run: str
    amount: int
    budgets: list[str]
    claim: str
    poured: int
    progress: int
    charged: int
    absorbed: int
    entry: bytes
    kept: int
    facts: bytes

    def owns(self, purse: TwinPurse | None) -> bool:
        """Whether that is the purse out of which it was taken."""
        return purse is not None and purse.is_of(self.run, self.gen, self.ep)


@dataclass(slots=True)
class Ask:
    """What a reservation asks."""

    purse_key: str
    pour: Pour
    hold_key: str
    live: str
    journal: str
    mark: str
    dead: str
    version_key: str
    claim_key: str | None
    run: str
    account: str
    gen: str
    version: int | None
    facts: bytes
    budgets: list[str]
    budget_text: str
    journal_limit: int
    claim: Sequence[bytes]
    number: int = 0
    purse: TwinPurse | None = None


@dataclass(slots=True)
class End:
    """What a settlement says."""

    purse_key: str
    pour: Pour
    hold_key: str
    live: str
    quarantine: str
    claim_key: str | None
    account: str
    gen: str
    ep: int
    actual: int
    payload: bytes
    known: bool
    facts: bytes
    budgets: list[str]
    claim_end: str
    tombstone_ms: int
    leaves: bool
    journal: Journal

    @property
    def hold(self) -> str:
        """The id of the hold that ends."""
        return self.pour.hold


def read_hold(store: Store, key: str) -> TwinHold | None:
    """The hold, or its tombstone."""
    stored = store.hgetall(key)
    if not stored:
        return None
    words = {name: stored.get(name, b"").decode() for name in ("st", "ac", "gen", "run", "bu", "ik")}
    numbers = {name: int(stored.get(name, 0)) for name in ("ep", "n", "t", "pr", "ch", "ab", "q")}
    return TwinHold(
        key,
        words["st"],
        account=words["ac"],
        gen=words["gen"],
        ep=numbers["ep"],
        run=words["run"],
        amount=numbers["n"],
        budgets=words["bu"].split(),
        claim=words["ik"],
        poured=numbers["t"],
        progress=numbers["pr"],
        charged=numbers["ch"],
        absorbed=numbers["ab"],
        entry=stored.get("ev", b""),
        kept=numbers["q"],
        facts=stored.get("f", b""),
    )


def own_purse(store: Store, key: str, hold: TwinHold) -> tuple[TwinPurse | None, bool]:
    """The account's purse, and whether it is the hold's own."""
    purse = read_purse(store, key, hold.budgets)
    return purse, hold.owns(purse)


def write_ended(store: Store, purse: TwinPurse | None, hold: TwinHold, *, own: bool) -> None:
    """Write the purse of a hold that ends, one live call less."""
    if purse is None:
        return
    counted = hold.st == "R" and purse.run == hold.run
    if counted:
        purse.lv = max(purse.lv - 1, 0)
    if own:
        write_purse(store, purse)
    elif counted:
        store.hset(purse.key, lv=purse.lv)


def reserve(store: Store, keys: Sequence[str], args: Sequence[bytes], now: int) -> Reply:
    """See ``lua/holds.lua``."""
    ask = _order(keys, args, now)
    told = _refused_early(store, ask) or _refused_by_crowd(store, ask)
    told = told or twin_bucket.refusal(store, ask.pour) or _refused_by_purse(ask.purse, ask.budgets, ask.pour.amount)
    return refused(told, ask.purse, args[0], now) if told else _admit(store, ask)


def heartbeat(store: Store, keys: Sequence[str], args: Sequence[bytes], now: int) -> bytes:
    """See ``lua/holds.lua``."""
    del now
    hold, live, mark, dead, version_key = keys
    state = (store.hget(hold, "st") or b"").decode()
    if state != "R":
        return {"S": b"ended", "X": b"swept"}.get(state, b"unknown")
    store.hset(hold, pr=max(store.number(hold, "pr"), int(args[2])))
    store.zadd(live, store.number(mark, "pass"), args[1].decode())
    return b"dead" if _is_dead(store, dead, version_key, _number(args[3])) else b"ok"


def extend(store: Store, keys: Sequence[str], args: Sequence[bytes], now: int) -> Reply:
    """See ``lua/holds.lua``."""
    tokens, policy, hold = int(args[1]), policy_of(args[2]), read_hold(store, keys[2])
    if hold is None or hold.st != "R":
        return [b"lost", 0, 0]
    purse, own = own_purse(store, keys[0], hold)
    alive = purse and purse.may_be_spent(args[0].decode(), hold.gen, store.number(keys[3], "pass"), now)
    if not own or purse is None or not alive:
        return [b"lost", hold.amount, 0]
    purse.alive = True
    told, bucket = twin_bucket.grow(store, keys[1], policy, tokens, now)
    told = told or _refused_by_purse(purse, hold.budgets, tokens)
    if told:
        return refused(told, purse, args[0], now)
    for budget in hold.budgets:
        purse.left[budget] -= tokens
    purse.av, purse.rs = purse.av - tokens, purse.rs + tokens
    write_purse(store, purse)
    store.hset(hold.key, n=hold.amount + tokens)
    twin_bucket.write(store, keys[1], policy, bucket)
    return [b"ok", hold.amount + tokens, purse.av]


def settle(store: Store, keys: Sequence[str], args: Sequence[bytes], now: int) -> Reply:
    """See ``lua/holds.lua``."""
    end = _ending(keys, args, now)
    hold = read_hold(store, end.hold_key)
    if hold is None:
        return _note(store, end) if end.known else [b"unknown", 0, 0, b"", b""]
    if hold.st == "S":
        _end_claim(store, end)
        return [b"repeated", hold.charged, hold.absorbed, store.hget(end.journal.mark, "id") or b"", hold.entry]
    reply = _finish(store, end, hold)
    if end.leaves:
        end.pour.amount = hold.amount
        twin_bucket.leave(store, end.pour)
    elif end.actual != hold.amount:
        delta = end.actual - hold.amount
        twin_bucket.correct(store, end.pour.bucket, end.pour.policy, delta, hold.poured, now)
    _end_claim(store, end)
    return reply


def refused(told: Told, purse: TwinPurse | None, run: bytes, now: int) -> Reply:
    """A refusal as a reply."""
    epoch, alive = (purse.ep, int(purse.alive)) if purse else (0, 0)
    numbers = [now, epoch, alive, told.limit, told.used, told.held, told.available, told.wait]
    return [told.kind.encode(), *numbers, told.name.encode(), run]


def _order(keys: Sequence[str], args: Sequence[bytes], now: int) -> Ask:
    run, hold, account, amount, gen, version, _, budgets, limit = (arg.decode("latin-1") for arg in args[:9])
    return Ask(
        purse_key=keys[0],
        pour=Pour(keys[1], keys[2], keys[3], hold, int(amount), policy_of(args[9]), now),
        hold_key=keys[4],
        live=keys[5],
        journal=keys[6],
        mark=keys[7],
        dead=keys[8],
        version_key=keys[9],
        claim_key=keys[10] if len(keys) > 10 else None,
        run=run,
        account=account,
        gen=gen,
        version=int(version) if version else None,
        facts=args[6],
        budgets=budgets.split(),
        budget_text=budgets,
        journal_limit=int(limit),
        claim=args[10:-1],
    )


def _refused_early(store: Store, ask: Ask) -> Told | None:
    if _is_dead(store, ask.dead, ask.version_key, ask.version):
        return Told("dead")
    told = _refused_by_claim(store, ask)
    if told:
        return told
    if store.hgetall(ask.hold_key):
        return Told("dup")
    ask.number = store.number(ask.mark, "pass")
    ask.purse = read_purse(store, ask.purse_key, ask.budgets)
    if ask.purse is None or not ask.purse.may_be_spent(ask.run, ask.gen, ask.number, ask.pour.now):
        return Told("nolease")
    ask.purse.alive = True
    return None


def _refused_by_claim(store: Store, ask: Ask) -> Told | None:
    claim = store.hgetall(ask.claim_key) if ask.claim_key else {}
    holder = claim.get("h", b"").decode()
    if not claim or holder == ask.pour.hold:
        return None
    if claim["fp"] != ask.claim[0]:
        return Told("mismatch", name=holder)
    kind = "running" if claim["st"] == b"running" else "replay"
    return Told(kind, name=holder, available=int(claim["st"] == b"stored"))


def _refused_by_crowd(store: Store, ask: Ask) -> Told | None:
    waiting = len(store.streams.get(ask.journal, ()))
    if waiting > ask.journal_limit:
        return Told("backlog", ask.journal_limit, waiting)
    most, live = ask.pour.policy.concurrency, ask.purse.lv if ask.purse else 0
    return Told("concurrency", most, live) if most and live >= most else None


def _refused_by_purse(purse: TwinPurse | None, budgets: Sequence[str], amount: int) -> Told | None:
    if purse is None:
        return None
    for budget in budgets:
        if purse.left[budget] < amount:
            return Told("budget", available=purse.left[budget], name=budget)
    if purse.av < amount:
        return Told("low", purse.gr, purse.sp, purse.rs + purse.qz, purse.av)
    return None


def _admit(store: Store, ask: Ask) -> Reply:
    purse = _take(store, ask)
    filled = twin_bucket.fill(store, ask.pour)
    now = ask.pour.now
    low = int(purse.av * 2 < purse.hi)
    return admitted([purse.ep, purse.av, low, purse.exp - now, purse.lv], filled, now)


def admitted(of_purse: Sequence[int], filled: Filled, now: int) -> Reply:
    """An admission as a reply."""
    return [b"ok", *of_purse, filled.level, filled.start_in, filled.empty_in, filled.requests, filled.reset, now]


def _take(store: Store, ask: Ask) -> TwinPurse:
    purse, amount, now = ask.purse, ask.pour.amount, ask.pour.now
    if purse is None:
        raise AssertionError("a purse that refused nothing is there")
    purse.av, purse.rs, purse.lv = purse.av - amount, purse.rs + amount, purse.lv + 1
    store.hset(purse.key, av=purse.av, rs=purse.rs, lv=purse.lv, us=now)
    store.hset_all(purse.key, [(f"b:{budget}", purse.left[budget] - amount) for budget in ask.budgets])
    told: dict[str, Value] = {"ac": ask.account, "gen": ask.gen, "ep": purse.ep, "run": ask.run, "n": amount}
    told |= {"bu": ask.budget_text} if ask.budgets else {}
    told |= {"ik": ask.claim_key} if ask.claim_key else {}
    store.hset(ask.hold_key, st="R", t=now, f=ask.facts, **told)
    store.zadd(ask.live, ask.number, ask.pour.hold)
    if ask.claim_key:
        store.hset(ask.claim_key, fp=ask.claim[0], st="running", h=ask.pour.hold)
        store.pexpireat(ask.claim_key, now + int(ask.claim[1]))
    return purse


def _is_dead(store: Store, dead: str, version_key: str, version: int | None) -> bool:
    least = store.get(version_key)
    return store.get(dead) is not None or (least is not None and version is not None and version < int(least))


def _ending(keys: Sequence[str], args: Sequence[bytes], now: int) -> End:
    run, hold, account, amount, gen, epoch, actual = (arg.decode() for arg in args[:7])
    return End(
        purse_key=keys[0],
        pour=Pour(keys[1], "", keys[2], hold, int(amount), policy_of(args[14]), now),
        hold_key=keys[3],
        live=keys[4],
        quarantine=keys[5],
        claim_key=keys[8] if len(keys) > 8 else None,
        account=account,
        gen=gen,
        ep=int(epoch),
        actual=int(actual),
        payload=args[7],
        known=args[8] == b"1",
        facts=args[9],
        budgets=args[10].decode().split(),
        claim_end=args[11].decode(),
        tombstone_ms=int(args[12]),
        leaves=args[13] == b"1",
        journal=Journal(keys[6], keys[7], run, now),
    )


def _note(store: Store, end: End) -> Reply:
    amount = end.pour.amount
    charged = min(end.actual, amount)
    absorbed = end.actual - charged
    told: dict[str, Value] = {"a": end.account, "e": end.ep, "g": end.gen, "n": amount, "c": charged, "b": absorbed}
    told |= {"bu": budget_moves(None, end.budgets, charged, 0), "f": end.facts, "p": end.payload}
    identity, entry = append(store, end.journal, "S", end.hold, **told)
    _bury(store, end, charged, absorbed, entry)
    _end_claim(store, end)
    return [b"noted", charged, absorbed, identity, entry]


def _finish(store: Store, end: End, hold: TwinHold) -> Reply:
    purse, own = own_purse(store, end.purse_key, hold)
    kept = hold.kept if hold.st == "X" else hold.amount
    most = hold.charged + kept + purse.av if purse and own else hold.amount
    charged = min(end.actual, most)
    absorbed, returned, rest = end.actual - charged, 0, 0
    if purse and own:
        rest = kept - (charged - hold.charged)
        returned = _move(purse, hold, kept, charged)
    told: dict[str, Value] = {"a": hold.account, "e": hold.ep, "g": hold.gen, "n": hold.amount, "c": charged}
    told |= {"b": absorbed, "r": returned, "pr": hold.progress, "f": hold.facts, "p": end.payload}
    told |= {"bu": budget_moves(purse if own else None, hold.budgets, charged, rest)}
    identity, entry = append(store, end.journal, "S", end.hold, **told)
    write_ended(store, purse, hold, own=own)
    _bury(store, end, charged, absorbed, entry)
    store.zrem(end.live if hold.st == "R" else end.quarantine, [end.hold])
    return [b"settled" if hold.st == "R" else b"corrected", charged, absorbed, identity, entry]


def _move(purse: TwinPurse, hold: TwinHold, kept: int, charged: int) -> int:
    if hold.st == "X":
        purse.qz -= kept
    else:
        purse.rs -= kept
    purse.sp += charged - hold.charged
    return purse.give_rest(kept - (charged - hold.charged))


def _bury(store: Store, end: End, charged: int, absorbed: int, entry: bytes) -> None:
    store.delete(end.hold_key)
    store.hset(end.hold_key, st="S", ch=charged, ab=absorbed, ev=entry)
    store.pexpireat(end.hold_key, end.pour.now + end.tombstone_ms)


def _end_claim(store: Store, end: End) -> None:
    if not end.claim_key or not end.claim_end or store.hget(end.claim_key, "h") != end.hold.encode():
        return
    if end.claim_end == "free":
        store.delete(end.claim_key)
    else:
        store.hset(end.claim_key, st=end.claim_end)


def _number(arg: bytes) -> int | None:
    return int(arg) if arg else None
