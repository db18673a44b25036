"""What holds after every step, and what holds once everything is quiet."""

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from apps.limiter.api import Purse
from apps.quotas.leases import LeaseState
from simulator import data
from simulator.oracle import Violation
from simulator.provider import Call, Stage

if TYPE_CHECKING:
    from uuid import UUID

    from simulator.simulation import Simulation

LARGEST_LOSS = 0.001
"""Of what was generated: the most that may stay uncharged without a known reason."""


@dataclass(eq=False, slots=True)
class Checks:
    """The oracle's questions."""

    simulation: "Simulation"

    def after_step(self) -> None:
        """Nothing is sold twice, and everybody's books add up.

        Raises:
            Violation: a promise is broken.
        """
        if self.simulation.oracle.moved:
            self.simulation.oracle.check_sold()
        self._check_ledger()
        self._check_purses()

    def _check_ledger(self) -> None:
        postgres = self.simulation.postgres
        if not postgres.moved:
            return
        postgres.moved = False
        self._check_budgets()
        out: Counter[UUID] = Counter()
        for lease in postgres.tables.leases.values():
            left = lease.granted - lease.settled - lease.returned
            if left < 0 or lease.settled < 0:
                raise Violation(f"{lease} settles and returns more than it was granted")
            if left and lease.state is LeaseState.CLOSED:
                raise Violation(f"{lease} is closed with {left} tokens out")
            out[lease.account] += left
        for account, row in postgres.tables.accounts.items():
            balances = (row.available, row.leased, row.spent, row.refunded)
            if min(balances) < 0 or sum(balances) != row.granted or row.leased != out[account]:
                raise Violation(f"account {account} does not add up: {row}, its leases have {out[account]} out")
            if row.spent != row.charged:
                raise Violation(f"account {account} has spent {row.spent}, its holds were charged {row.charged}")

    def _check_budgets(self) -> None:
        tables, leased = self.simulation.postgres.tables, Counter[str]()
        for (_, _, name), part in tables.budget_parts.items():
            leased[name] += part.remaining
        for name, budget in tables.budgets.items():
            if budget.leased != leased[name] or budget.leased < 0:
                raise Violation(f"budget {name} does not add up: {budget}, leases have {leased[name]} of it")

    def _check_purses(self) -> None:
        for server in self.simulation.valkeys.servers:
            if not server.touched:
                continue
            keys, server.touched = server.touched, ""
            for account in self.simulation.accounts:
                purse = data.purse(server.twin, account.id) if keys in account.first_keys else None
                if purse is not None:
                    _check_purse(server.name, purse)

    # In the end

    def at_rest(self) -> None:
        """Nothing is under way any more: nothing is left over, and what was used is what was charged.

        Raises:
            Violation: a promise is broken.
        """
        if left := self.left_over():
            raise Violation(f"left over in the end: {left[0]} ({len(left)} such)")
        self._compare()

    def left_over(self) -> list[str]:
        """What is not at rest yet."""
        simulation = self.simulation
        twin, run_id = simulation.valkeys.primary.twin, simulation.valkeys.primary.run_id
        left = [f"{row}" for row in simulation.postgres.tables.leases.values() if row.state is not LeaseState.CLOSED]
        for account in simulation.accounts:
            purse = data.purse(twin, account.id)
            if purse is not None and purse.run_id == run_id and purse.reserved + purse.quarantined:
                left.append(f"{purse}")
        for shard in simulation.shards:
            left += [f"hold {hold} in R" for hold in data.live(twin, shard)]
            left += [f"{entry} in the journal" for entry in data.journal(twin, shard, 1)]
        return left + [f"{hold} in spool {spool.id}" for spool in simulation.disk.files for hold in spool.admitted]

    def _compare(self) -> None:
        """Each call's charge against the truth."""
        holds, counts, oracle = self.simulation.postgres.tables.holds, self.simulation.counts, self.simulation.oracle
        lost = 0
        for call in self.simulation.provider.calls.values():
            if call.stage is not Stage.OVER:
                raise Violation(f"{call} never ended")
            counts["tokens generated"] += call.generated
            row = holds.get(call.id)
            charged, absorbed = (row.charged, row.absorbed) if row else (0, 0)
            uncharged = call.generated - charged
            if uncharged < 0:
                raise Violation(f"{call} was charged {charged}")
            if charged + absorbed < min(call.reported, call.generated, call.amount) and call.id not in oracle.forgiven:
                raise Violation(f"{call} had reported {call.reported} tokens and was charged {charged}")
            counts["uncharged"] += uncharged
            if call.id in oracle.forgiven:
                counts["known loss"] += uncharged
            else:
                counts["known loss"] += absorbed
                lost += self._unexplained(call, uncharged - absorbed)
        generated = counts["tokens generated"]
        if lost > LARGEST_LOSS * generated:
            raise Violation(f"{lost} of {generated} tokens were never charged")

    def _unexplained(self, call: Call, uncharged: int) -> int:
        counts = self.simulation.counts
        if call.hung_up:
            counts["since heartbeat"] += uncharged
            return 0
        counts["lost"] += uncharged > 0
        counts["unexplained"] += uncharged
        return uncharged


def _check_purse(server: str, purse: Purse) -> None:
    parts = (purse.available, purse.reserved, purse.spent, purse.quarantined, purse.returned)
    if min(parts) < 0 or sum(parts) != purse.granted:
        raise Violation(f"{server}: {purse} does not add up")
