"""``lua/purse.lua`` and ``lua/journal.lua`` over the twin's store."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from apps.limiter.journal import place
from apps.limiter.twin_store import Store, Value

SET_BACK_MS = 60_000
PURSE_KEPT_MS = 24 * 3600 * 1000


@dataclass(slots=True)
class TwinPurse:
    """A purse as a function reads it, with what is left of the budgets that it asked for."""

    key: str
    run: str
    gen: str
    since: int
    closed: bool
    left: dict[str, int]
    ep: int
    exp: int
    px: int
    gr: int
    av: int
    rs: int
    sp: int
    qz: int
    rt: int
    hi: int
    lv: int
    alive: bool

    def is_of(self, run: str, gen: str, ep: int) -> bool:
        """Whether this is the purse of that run, generation and epoch."""
        return (self.run, self.gen, self.ep) == (run, gen, ep)

    def may_be_spent(self, run: str, gen: str, number: int, now: int) -> bool:
        """Whether calls are admitted out of it at this pass and time."""
        in_time = now < self.exp and number < self.px and now >= self.since - SET_BACK_MS
        return self.run == run and self.gen == gen and not self.closed and in_time

    def give_rest(self, rest: int) -> int:
        """Tokens that a hold leaves: available again, or, of a closed purse, back to the ledger: so many."""
        if self.closed:
            self.rt += rest
            return rest
        self.av += rest
        return 0


def read_purse(store: Store, key: str, budgets: Iterable[str]) -> TwinPurse | None:
    """The purse with the parts of these budgets."""
    stored = store.hgetall(key)
    if not stored:
        return None
    words = {name: value.decode() for name, value in stored.items()}
    numbers = {name: int(words[name]) for name in ("ep", "exp", "px", "gr", "av", "rs", "sp", "qz", "rt", "hi", "lv")}
    left = {budget: int(words.get(f"b:{budget}", 0)) for budget in budgets}
    closed, since = words["st"] == "closed", int(words["from"])
    return TwinPurse(key, words["run"], words["gen"], since, closed=closed, left=left, alive=False, **numbers)


def budgets_in(store: Store, key: str) -> list[str]:
    """All budgets of which a purse has a part."""
    return sorted(name[2:] for name in store.hgetall(key) if name.startswith("b:"))


def write_purse(store: Store, purse: TwinPurse) -> None:
    """Write what moves."""
    store.hset(purse.key, av=purse.av, rs=purse.rs, sp=purse.sp, qz=purse.qz, rt=purse.rt, lv=purse.lv)
    store.hset_all(purse.key, [(f"b:{budget}", left) for budget, left in purse.left.items()])


def budget_moves(purse: TwinPurse | None, budgets: Sequence[str], charged: int, rest: int) -> str:
    """What a hold's end means for its budgets, as the journal says it."""
    moves = []
    for budget in budgets:
        returned = 0
        if purse and purse.closed:
            returned = max(rest, 0)
        elif purse:
            purse.left[budget] = max(purse.left[budget] + rest, 0)
        moves.append(f"{budget},{charged},{returned}")
    return " ".join(moves)


@dataclass(frozen=True, slots=True)
class Journal:
    """The shard's keys, and the run and time of the call."""

    key: str
    mark: str
    run: str
    now: int


def append(store: Store, journal: Journal, kind: str, subject: str, **told: Value) -> tuple[bytes, bytes]:
    """Append an entry. Returns the journal's identity and the entry's id."""
    identity = (store.hget(journal.mark, "id") or b"").decode()
    entry = _next_entry((store.hget(journal.mark, "last") or b"").decode(), journal.now)
    if not identity.startswith(f"{journal.run}:"):
        identity = f"{journal.run}:{entry}"
    blank: dict[str, Value] = {
        "a": "",
        "e": 0,
        "g": 0,
        "n": 0,
        "c": 0,
        "b": 0,
        "r": 0,
        "pr": 0,
        "bu": "",
        "f": "",
        "p": "",
    }
    store.xadd(journal.key, entry, k=kind, id=subject, **(blank | told))
    store.hset(journal.mark, id=identity, last=entry)
    return identity.encode(), entry.encode()


def drain(store: Store, journal: Journal, identity: str, upto: str, entries: Sequence[str]) -> int:
    """Delete what the ledger has. Returns 0 when this is not the journal that was read."""
    known, last, at = ((store.hget(journal.mark, name) or b"").decode() for name in ("id", "last", "at"))
    if store.hget(journal.mark, "id") is None or known != identity or place(upto) > place(last):
        return 0
    store.xdel(journal.key, entries)
    if place(upto) > place(at):
        store.hset(journal.mark, at=upto)
    return 1


def _next_entry(last: str, now: int) -> str:
    milliseconds, sequence = place(last)
    return f"{now}-0" if now > milliseconds else f"{milliseconds}-{sequence + 1}"
