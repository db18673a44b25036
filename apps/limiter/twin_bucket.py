"""``lua/bucket.lua`` over the twin's store: the arithmetic is that of :mod:`apps.limiter.domain`."""

from dataclasses import dataclass
from functools import lru_cache

from apps.core.units import MICRO
from apps.limiter import domain
from apps.limiter.domain import FOREVER_MS, REQUEST, Bucket, Decision, Mode, Policy, State, Strategy
from apps.limiter.twin_store import Store

GRACE_MS = 1000
FIELDS = {
    Strategy.LEAKY_BUCKET: ("level", "at"),
    Strategy.TOKEN_BUCKET: ("avail", "since"),
    Strategy.FIXED_WINDOW: ("count", "from"),
}


@dataclass(slots=True)
class Pour:
    """What is asked of a bucket and of requests per minute."""

    bucket: str
    rpm: str
    queue: str
    hold: str
    amount: int
    policy: Policy
    now: int


@dataclass(slots=True)
class Filled:
    """What an admission says of them: micro-tokens, ms, ms, units, ms."""

    level: int
    start_in: int
    empty_in: int
    requests: int
    reset: int


@dataclass(slots=True)
class Told:
    """What a refusal says."""

    kind: str
    limit: int = 0
    used: int = 0
    held: int = 0
    available: int = 0
    wait: int = 0
    name: str = ""


@lru_cache
def policy_of(text: bytes) -> Policy:
    """A policy from its argument."""
    capacity, leak, strategy, mode, patience, window, *counts = text.decode().split()
    per_minute, concurrency = (None if count == "-" else int(count) for count in counts)
    bucket, kind = Bucket(int(capacity), int(leak)), Strategy(strategy)
    return Policy(bucket, kind, Mode(mode), int(patience), int(window), per_minute, concurrency)


def finite(milliseconds: int) -> int:
    """As a reply says it."""
    return -1 if milliseconds == FOREVER_MS else milliseconds


def refusal(store: Store, pour: Pour) -> Told | None:
    """What requests per minute or the bucket say against it."""
    policy = pour.policy
    requests, wait = _requests(store, pour)
    if wait and policy.requests_per_minute:
        used = domain.ceil_div(requests.level_micro, REQUEST)
        left = max(policy.requests_per_minute - used, 0)
        return Told("rpm", policy.requests_per_minute, used, available=left, wait=wait)
    _, decision = domain.pour(read(store, pour.bucket, policy), policy, pour.amount, pour.now)
    return _refused_by_level(decision)


def grow(store: Store, key: str, policy: Policy, tokens: int, now: int) -> tuple[Told | None, State]:
    """What the bucket says against a pour for a call under way; and its state with that pour, to be written."""
    state, decision = domain.grow(read(store, key, policy), policy, tokens, now)
    return _refused_by_level(decision), state


def _refused_by_level(decision: Decision) -> Told | None:
    if decision.allowed:
        return None
    kind, wait = "full" if decision.fits_ever else "never", finite(decision.wait_ms)
    return Told(kind, decision.capacity, decision.level, available=decision.remaining, wait=wait)


def fill(store: Store, pour: Pour) -> Filled:
    """Pour and count what was not refused."""
    state, decision = domain.pour(read(store, pour.bucket, pour.policy), pour.policy, pour.amount, pour.now)
    write(store, pour.bucket, pour.policy, state)
    if decision.start_in_ms:
        store.zrem(pour.queue, store.upto(pour.queue, pour.now))
        store.zadd(pour.queue, state.updated_ms, pour.hold)
        store.pexpireat(pour.queue, state.updated_ms + GRACE_MS)
    filled = Filled(decision.level_micro, decision.start_in_ms, finite(decision.empty_in_ms), 0, 0)
    if pour.policy.requests_per_minute:
        _count(store, pour, pour.policy.requests_per_minute, filled)
    return filled


def correct(store: Store, key: str, policy: Policy, delta: int, poured: int, now: int) -> int:
    """Correct a pour. Returns the level."""
    state = domain.adjust(read(store, key, policy), policy, delta, now, poured)
    write(store, key, policy, state)
    return state.level_micro


def leave(store: Store, pour: Pour) -> int:
    """Take out the pour of a call that leaves before its start. Returns the level."""
    store.zrem(pour.queue, [pour.hold])
    last = store.highest(pour.queue)
    state = domain.leave(read(store, pour.bucket, pour.policy), pour.policy, pour.amount, pour.now, [last])
    write(store, pour.bucket, pour.policy, state)
    return state.level_micro


def read(store: Store, key: str, policy: Policy) -> State:
    """The state of a bucket, as it was written."""
    names = FIELDS[policy.strategy]
    level, at = (store.hget(key, name) for name in names)
    full = policy.bucket.capacity * MICRO
    if policy.strategy is Strategy.TOKEN_BUCKET:
        return State(max(full - int(full if level is None else level), 0), int(at or 0))
    return State(int(level or 0), int(at or 0))


def write(store: Store, key: str, policy: Policy, state: State) -> None:
    """Write the state of a bucket, until a second after it is empty."""
    level_name, at_name = FIELDS[policy.strategy]
    mirrored = policy.strategy is Strategy.TOKEN_BUCKET
    level = policy.bucket.capacity * MICRO - state.level_micro if mirrored else state.level_micro
    store.hset_all(key, [(level_name, level), (at_name, state.updated_ms)])
    windowed = policy.strategy is Strategy.FIXED_WINDOW
    lasts = policy.window if windowed else domain.drain_ms(state.level_micro, policy.bucket.leak)
    store.pexpireat(key, None if lasts == FOREVER_MS else state.updated_ms + lasts + GRACE_MS)


def _requests(store: Store, pour: Pour) -> tuple[State, int]:
    """Requests per minute with this one; or as they are now, and how long to wait."""
    per_minute = pour.policy.requests_per_minute
    if not per_minute:
        return State(), 0
    state = State(store.number(pour.rpm, "level"), store.number(pour.rpm, "at"))
    counted, wait = domain.count_request(state, per_minute, pour.now)
    return counted, wait


def _count(store: Store, pour: Pour, per_minute: int, filled: Filled) -> None:
    requests, _ = _requests(store, pour)
    store.hset(pour.rpm, level=requests.level_micro, at=requests.updated_ms)
    drained = requests.updated_ms + domain.drain_ms(requests.level_micro, per_minute)
    store.pexpireat(pour.rpm, drained + GRACE_MS)
    filled.requests, filled.reset = requests.level_micro, drained - pour.now
