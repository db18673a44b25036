"""Leases on the real stores against a model of a few lines, under any sequence of calls, losses, sweeps and closings.

The model knows what each call was promised and what it cost. What it insists on: what is charged and what is promised
to calls under way is never more than was granted, and in the end each call is charged what it cost, once.
"""

from dataclasses import dataclass
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from apps.core.errors import InsufficientQuota, StoreUnavailable
from apps.limiter.api import Limiter, Refusal, shard_of
from apps.quotas import api
from apps.quotas.api import Part, Upkeep, account_id, balance, check_identities, ensure_lease, recall
from apps.quotas.drainer import Drainer, book_entries
from tests.integration.quotas.needs import as_owner, leases_of, need_of
from tests.integration.quotas.purses import Call, applied, limiter, swept

EXAMPLES, STEPS = 6, 20

LONG_AGO = """
UPDATE quotas_lease SET expires_tick = -100000000, used_at = now() - interval '1 hour' WHERE account_id = %s
"""


@dataclass
class Sent:
    """A call that was admitted. ``cost`` None: it is under way; it knows ``progress``."""

    call: Call
    cost: int | None = None


class LeaseMachine(RuleBasedStateMachine):
    """One payer's account in both stores."""

    @initialize(tokens=st.integers(50, 400))
    def open_account(self, tokens: int) -> None:
        as_owner("UPDATE quotas_spool SET state = 'CLOSED', ended_at = now() WHERE state = 'OPEN'")
        as_owner("UPDATE quotas_control SET closing_frozen = false")
        self.payer = uuid4()
        self.account = account_id("user", self.payer, "openai")
        self.granted = 0
        self.sent: list[Sent] = []
        self.part: Part | None = None
        self.valkey: Limiter = limiter()
        self.keeper = Upkeep(self.valkey)
        self.grant(tokens)

    def teardown(self) -> None:
        if hasattr(self, "valkey"):
            self._settle_all()
            self._quiesce()
            self.valkey.close()

    @rule(tokens=st.integers(1, 100))
    def grant(self, tokens: int) -> None:
        api.grant(
            payer_kind="user", payer_id=self.payer, provider="openai", tokens=tokens, grant_id=uuid4(), reason="",
            actor="",
        )  # fmt: skip
        self.granted += tokens

    @rule(amount=st.integers(1, 60), arrives=st.booleans())
    def call(self, amount: int, arrives: bool) -> None:
        """Reserve; on a shortage ask the ledger once, and again. A part may be lost on its way."""
        for _ in range(2):
            refusal = self._reserve(amount)
            if refusal is None or not self._supply(amount, refusal, arrives=arrives):
                return
        self._reserve(amount)

    def _reserve(self, amount: int) -> Refusal | None:
        part = self.part or Part(uuid4(), self.account, 1, 1, 0, {}, True, 0, 0, "")
        call = Call(part, amount)
        reply = call.reserve()
        if isinstance(reply, Refusal):
            return reply
        self.sent.append(Sent(call))
        return None

    def _supply(self, amount: int, refusal: Refusal, *, arrives: bool) -> bool:
        as_owner(
            "UPDATE quotas_lease SET opened_at = opened_at - interval '3 seconds' WHERE account_id = %s", self.account
        )
        need = need_of(
            self.account, amount, run_id=self.valkey.run_id(shard_of(self.account)), seen_epoch=refusal.epoch,
            purse_alive=refusal.purse_alive, available_in_purse=refusal.available,
            granted_in_purse=10**9 if refusal.purse_alive else None,
        )  # fmt: skip
        try:
            part = ensure_lease(need)
        except (InsufficientQuota, StoreUnavailable):
            return False
        assert isinstance(part, Part)
        self.part = part
        if arrives:
            assert applied(part).kind == "ok"
        return arrives

    @rule(which=st.integers(0, 99), cost=st.integers(0, 90), twice=st.booleans())
    def settle(self, which: int, cost: int, twice: bool) -> None:
        open_calls = [one for one in self.sent if one.cost is None]
        if open_calls:
            one = open_calls[which % len(open_calls)]
            one.cost = min(cost, one.call.amount)
            for _ in range(1 + twice):
                one.call.settle(one.cost)

    @rule(which=st.integers(0, 99), progress=st.integers(0, 60))
    def beat(self, which: int, progress: int) -> None:
        open_calls = [one for one in self.sent if one.cost is None]
        if open_calls:
            one = open_calls[which % len(open_calls)]
            one.call.beat(min(progress, one.call.amount))

    @rule()
    def sweep(self) -> None:
        swept(self.account)

    @rule()
    def lose_the_purse_and_all_holds(self) -> None:
        """As after a FLUSHALL, of this account; the journal stays, because the shard is shared."""
        tag = f"{{q{shard_of(self.account):02d}}}"
        self.valkey.ask(shard_of(self.account), "DEL", f"{tag}:purse:{self.account}", f"{tag}:parts:{self.account}")
        for one in self.sent:
            self.valkey.ask(shard_of(self.account), "DEL", f"{tag}:hold:{one.call.id}")

    @rule(tokens=st.integers(1, 100))
    def recall(self, tokens: int) -> None:
        recall(self.account, tokens, limiter=self.valkey)

    @rule()
    def drain(self) -> None:
        Drainer(self.valkey, [shard_of(self.account)]).drain()

    @rule()
    def drain_and_die_before_valkey_is_told(self) -> None:
        book_entries([entry for _, entry in self.valkey.journal(shard_of(self.account), 500) if entry is not None])

    @rule()
    def keep(self) -> None:
        self.keeper.keep()

    @rule()
    def time_passes_without_calls(self) -> None:
        """Longer than any call may take: those that run have ended and told, as spools make sure."""
        self._settle_all()
        Drainer(self.valkey, [shard_of(self.account)]).drain()
        as_owner(LONG_AGO, self.account)
        self.keeper.keep()

    @invariant()
    def nothing_is_sold_twice(self) -> None:
        now = balance(self.account)
        promised = sum(one.call.amount for one in self.sent if one.cost is None)
        cost = sum(one.cost for one in self.sent if one.cost is not None)
        assert cost + promised <= self.granted
        assert now.granted == self.granted
        assert now.spent + now.available + now.leased == self.granted
        assert check_identities(self.account) == []

    def _settle_all(self) -> None:
        for one in self.sent:
            if one.cost is None:
                one.cost = one.call.amount // 2
                one.call.settle(one.cost)

    def _quiesce(self) -> None:
        for _ in range(3):
            while Drainer(self.valkey, [shard_of(self.account)]).drain():
                pass
            as_owner(LONG_AGO, self.account)
            self.keeper.keep()
        now = balance(self.account)
        assert (now.spent, now.leased, now.absorbed) == (sum(one.cost or 0 for one in self.sent), 0, 0)
        assert {row["state"] for row in leases_of(self.account)} <= {"CLOSED"}


@pytest.mark.usefixtures("without_loops", "committed")
def test_any_sequence_on_the_real_stores() -> None:
    checks = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        LeaseMachine,
        settings=settings(
            max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None, suppress_health_check=checks,
            phases=[Phase.explicit, Phase.reuse, Phase.generate],  # Each step asks real stores: too slow to shrink.
        ),
    )  # fmt: skip
