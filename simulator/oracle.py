"""What must be true after every step, said without the protocol's help.

The oracle weighs every call by what it may come to: a call that the provider is generating weighs its whole hold, one
that is over what was generated within the hold, and one that the ledger has booked what it was charged there. The sum
of an account's weights never passes what the account was granted: else tokens were sold twice.
"""

from collections import Counter
from dataclasses import dataclass, field
from uuid import UUID

from simulator.provider import Call, Stage


class Violation(AssertionError):
    """A promise was broken."""


@dataclass(eq=False, slots=True)
class Oracle:
    """Weights of calls, kept up to date as the provider and the ledger change."""

    granted: Counter[UUID] = field(default_factory=Counter)
    weights: dict[UUID, int] = field(default_factory=dict)
    sums: Counter[UUID] = field(default_factory=Counter)
    booked: dict[UUID, int] = field(default_factory=dict)
    forgiven: set[UUID] = field(default_factory=set)
    calls: dict[UUID, Call] = field(default_factory=dict)
    generation: int = 1
    of_budgets: Counter[str] = field(default_factory=Counter)
    within: dict[UUID, int] = field(default_factory=dict)
    moved: set[UUID] = field(default_factory=set)

    def grant(self, account: UUID, tokens: int) -> None:
        """The account was given tokens (or, negative, was refunded)."""
        self.granted[account] += tokens
        self.moved.add(account)

    def call_changed(self, call: Call) -> None:
        """The provider began or ended a call."""
        self.calls[call.id] = call
        if call.generation < self.generation:
            self.forgiven.add(call.id)
        self._weigh(call)

    def hold_booked(self, hold: UUID, charged: int) -> None:
        """The ledger says what a call was charged in all."""
        self.booked[hold] = charged
        if call := self.calls.get(hold):
            self._weigh(call)

    def forgive(self, hold: UUID) -> None:
        """What a person wrote off: the loss is known, and no surprise."""
        self.forgiven.add(hold)
        if call := self.calls.get(hold):
            self._weigh(call)

    def restored(self, generation: int, booked: dict[UUID, int]) -> None:
        """The ledger is as it was. What it does not know of older generations is lost, or comes late."""
        before, self.generation, self.booked = self.booked, generation, booked
        for call in self.calls.values():
            if call.id not in booked or booked[call.id] != before.get(call.id):
                self.forgiven.add(call.id)
            self._weigh(call)

    def _weigh(self, call: Call) -> None:
        weight = self._weight(call)
        before = self.weights.get(call.id, 0)
        self.sums[call.account] += weight - before
        self.weights[call.id] = weight
        self.moved.add(call.account)
        self._weigh_in_budgets(call, min(weight, call.amount))

    def _weigh_in_budgets(self, call: Call, within: int) -> None:
        """What a restored ledger learns late was used all the same, and no budget could know: it only ever falls."""
        before = self.within.get(call.id, 0)
        if call.id in self.forgiven:
            within = min(within, before)
        self.within[call.id] = within
        for budget in call.budgets:
            self.of_budgets[budget.id] += within - before
            if within > before and self.of_budgets[budget.id] > budget.tokens:
                raise Violation(f"budget {budget} was passed: its calls came to {self.of_budgets[budget.id]}")

    def _weight(self, call: Call) -> int:
        charged = self.booked.get(call.id)
        if call.id in self.forgiven:
            return charged or 0
        if call.stage is Stage.RUNNING:
            return max(call.amount, charged or 0)
        return min(call.told, call.amount) if charged is None else charged

    def check_sold(self) -> None:
        """Nothing was sold twice.

        Raises:
            Violation: it was.
        """
        while self.moved:
            account = self.moved.pop()
            total, granted = self.sums[account], self.granted[account]
            if total > granted:
                raise Violation(f"oversold: account {account} was granted {granted}, its calls came to {total}")
