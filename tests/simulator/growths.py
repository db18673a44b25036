"""Holds that grow. Schedules, and doubles without the rule; see ``test_ablations``."""

from collections.abc import Sequence

import pytest

from apps.limiter import twin
from apps.limiter.twin_holds import Reply, TwinHold
from apps.limiter.twin_store import Store
from simulator import admission
from simulator.figures import FIGURES
from simulator.lab import Lab

Patch = pytest.MonkeyPatch


def grown_in_the_next_epoch(lab: Lab) -> None:
    """The purse expires under a call, a new epoch opens, and the old call wants more; whatever comes of that."""
    old = lab.call(0, 300)
    lab.tick(FIGURES.lease_ms + 10_000)
    new = lab.call(1, 300)
    assert old
    assert new
    lab.do(admission.grow(lab.gateway(0), old, 200))
    for call in (old, new):
        lab.end(call, used=call.call.amount)
    lab.rest()


def holds_grow_from_any_purse(patch: Patch) -> None:
    strict = twin.FUNCTIONS["extend"]

    def weak(store: Store, keys: Sequence[str], args: Sequence[bytes], now: int) -> Reply:
        with pytest.MonkeyPatch.context() as meanwhile:
            meanwhile.setattr(TwinHold, "owns", lambda _hold, purse: purse is not None)
            return strict(store, keys, args, now)  # type: ignore[return-value]

    patch.setitem(twin.FUNCTIONS, "extend", weak)


def grown_beyond_the_purse(lab: Lab) -> None:
    first, second = lab.call(0, 500), lab.call(1, 500)
    assert first
    assert second
    lab.do(admission.grow(lab.gateway(0), first, 200))
    lab.end(first, used=first.call.amount)
    lab.end(second, used=500)
    lab.rest()


def growth_is_not_held(patch: Patch) -> None:
    """The gateway lets the provider go on without waiting for the answer."""
    strict = admission.grow

    def weak(gateway: object, live: object, tokens: int) -> object:
        gateway.keep_growth(live, tokens)  # type: ignore[attr-defined]
        gateway.simulation.provider.grow(live.call, tokens)  # type: ignore[attr-defined]
        yield from strict(gateway, live, tokens)  # type: ignore[arg-type]

    patch.setattr(admission, "grow", weak)
