"""The ledger against a model of it in a few lines of Python, under any sequence of operations, replays included."""

from dataclasses import dataclass, field
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from apps.core.errors import HoldNotFound, InsufficientQuota
from apps.outbox.models import OutboxEvent
from apps.quotas import api
from tests.integration.quotas.payers import MINUTE_MS, facts, make_overdue, settlement_of

AMOUNTS = st.integers(1, 60)
COSTS = st.integers(0, 120)


@dataclass
class Taken:
    """What the model knows of a hold."""

    hold: api.Hold
    progress: int = 0
    charge: int | None = None
    absorbed: int = 0
    overdue_since: int = 0
    expired: bool = False
    settled: bool = False


@dataclass
class Model:
    """Tokens in three places; the rest follows."""

    granted: int = 0
    spent: int = 0
    absorbed: int = 0
    taken: list[Taken] = field(default_factory=list)

    @property
    def held(self) -> int:
        return sum(one.hold.amount for one in self.taken if one.charge is None)

    @property
    def available(self) -> int:
        return self.granted - self.spent - self.held

    def end(self, one: Taken, cost: int) -> None:
        """The hold is free again, and the cost taken as far as there is something to take."""
        one.charge = 0
        self._take(one, cost)

    def settle(self, one: Taken, cost: int) -> None:
        """The first settlement: of an open hold its end, of an expired one the difference."""
        one.settled = True
        if one.charge is None:
            self.end(one, cost)
        elif cost > one.charge + one.absorbed:
            self._take(one, cost - one.charge - one.absorbed)
        else:
            self._give_back(one, one.charge + one.absorbed - cost)

    def _take(self, one: Taken, tokens: int) -> None:
        paid = min(tokens, self.available)
        self._move(one, paid, tokens - paid)

    def _give_back(self, one: Taken, tokens: int) -> None:
        to_house = min(tokens, one.absorbed)
        self._move(one, to_house - tokens, -to_house)

    def _move(self, one: Taken, charge: int, absorbed: int) -> None:
        assert one.charge is not None
        one.charge += charge
        one.absorbed += absorbed
        self.spent += charge
        self.absorbed += absorbed


class LedgerMachine(RuleBasedStateMachine):
    """One payer's account, and every operation on it."""

    @initialize(tokens=st.integers(1, 200))
    def open_account(self, tokens: int) -> None:
        api.expire_holds(limit=100_000)  # what other examples left
        self.payer = uuid4()
        self.moment = 0
        self.account: UUID = api.account_id("user", self.payer, "openai")
        self.model = Model()
        self.last_grant = uuid4()
        self._grant(tokens)
        self.model.granted += tokens

    def _grant(self, tokens: int) -> None:
        api.grant(
            payer_kind="user",
            payer_id=self.payer,
            provider="openai",
            tokens=tokens,
            grant_id=self.last_grant,
            reason="",
            actor="",
        )

    @rule(tokens=AMOUNTS)
    def grant(self, tokens: int) -> None:
        self.last_grant = uuid4()
        self._grant(tokens)
        self.model.granted += tokens

    @rule(tokens=AMOUNTS)
    def repeat_grant(self, tokens: int) -> None:
        self._grant(tokens)

    @rule(amount=AMOUNTS)
    def reserve(self, amount: int) -> None:
        hold = api.Hold(uuid4(), self.account, amount, facts())
        if amount <= self.model.available:
            api.reserve(hold, ttl_ms=MINUTE_MS)
            self.model.taken.append(Taken(hold))
        else:
            with pytest.raises(InsufficientQuota):
                api.reserve(hold, ttl_ms=MINUTE_MS)

    @precondition(lambda self: self.model.taken)
    @rule(data=st.data())
    def repeat_reserve(self, data: st.DataObject) -> None:
        api.reserve(self._one(data).hold, ttl_ms=MINUTE_MS)

    @precondition(lambda self: self.model.taken)
    @rule(data=st.data(), tokens=COSTS)
    def renew(self, data: st.DataObject, tokens: int) -> None:
        one = self._one(data)
        gone = api.renew([(self.account, one.hold.id, tokens)], ttl_ms=MINUTE_MS)
        assert gone == (set() if one.charge is None else {one.hold.id})
        if one.charge is None:
            one.progress, one.overdue_since = max(one.progress, tokens), 0

    @precondition(lambda self: any(one.charge is None for one in self.model.taken))
    @rule(data=st.data())
    def let_time_pass(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from([one for one in self.model.taken if one.charge is None]))
        make_overdue(one.hold)
        self.moment += 1
        one.overdue_since = self.moment

    @precondition(lambda self: self.overdue())
    @rule()
    def expire(self) -> None:
        assert api.expire_holds(limit=1) == 1
        one = self.overdue()[0]
        self.model.end(one, one.progress)
        one.expired = True

    def overdue(self) -> list[Taken]:
        """Open holds whose time is over, longest first, as the ledger ends them."""
        late = [one for one in self.model.taken if one.overdue_since and one.charge is None]
        return sorted(late, key=lambda one: one.overdue_since)

    @precondition(lambda self: self.model.taken)
    @rule(data=st.data(), cost=COSTS)
    def settle(self, data: st.DataObject, cost: int) -> None:
        one = self._one(data)
        first = not one.settled
        if first:
            self.model.settle(one, cost)
        answer = api.settle(settlement_of(one.hold, cost))
        released = max(one.hold.amount - (one.charge or 0), 0)
        assert answer == api.Settled(one.charge or 0, released, one.absorbed, first=first)

    @rule()
    def settle_what_was_never_held(self) -> None:
        with pytest.raises(HoldNotFound):
            api.settle(settlement_of(api.Hold(uuid4(), self.account, 1, facts()), 1))

    @invariant()
    def the_ledger_is_as_the_model(self) -> None:
        if not hasattr(self, "model"):
            return
        account = api.balance(self.account)
        assert (account.granted, account.available, account.held) == (
            self.model.granted,
            self.model.available,
            self.model.held,
        )
        assert (account.spent, account.absorbed) == (self.model.spent, self.model.absorbed)
        assert account.spent + account.held <= account.granted
        assert api.check_identities(self.account) == []

    def teardown(self) -> None:
        if hasattr(self, "model"):
            data = OutboxEvent.objects.filter(aggregate_id=self.account).values_list("data", flat=True)
            assert sum(event["charged"] for event in data) == self.model.spent
            assert sum(event["absorbed"] for event in data) == self.model.absorbed
            assert len(data) == sum(one.expired + one.settled for one in self.model.taken)

    def _one(self, data: st.DataObject) -> Taken:
        return data.draw(st.sampled_from(self.model.taken))


@pytest.mark.django_db
def test_any_sequence_of_operations_leaves_the_ledger_as_the_model() -> None:
    run_state_machine_as_test(
        LedgerMachine,
        settings=settings(
            max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
