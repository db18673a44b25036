"""What holds after every step, and what holds once everything is quiet."""

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from apps.quotas.leases import LeaseState
from simulator.oracle import Violation
from simulator.provider import Call, Stage

if TYPE_CHECKING:
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
        self.simulation.oracle.check_sold()
        self._check_ledger()
        self._check_purses()

    def _check_ledger(self) -> None:
        tables = self.simulation.postgres.tables
        out: dict[UUID, int] = dict.fromkeys(tables.accounts, 0)
        for lease in tables.leases.values():
            left = lease.granted - lease.settled - lease.returned
            _demand(left >= 0 and lease.settled >= 0, f"{lease} settles and returns more than it was granted")
            _demand(lease.state is not LeaseState.CLOSED or not left, f"{lease} is closed with {left} out")
            out[lease.account] += left
        for account, row in tables.accounts.items():
            balances = (row.available, row.leased, row.spent, row.refunded)
            _demand(min(balances) >= 0, f"account {account} has a negative balance: {row}")
            _demand(sum(balances) == row.granted, f"account {account} does not add up: {row}")
            _demand(row.leased == out[account], f"account {account} leased {row.leased}, its leases have {out[account]}")

    def _check_purses(self) -> None:
        for server in self.simulation.valkeys.servers:
            if not server.touched:
                continue
            server.touched = False
            for account in self.simulation.accounts:
                if (purse := server.twin.purse(account.id)) is None:
                    continue
                parts = (purse.available, purse.reserved, purse.spent, purse.quarantined, purse.returned)
                _demand(min(parts) >= 0 and sum(parts) == purse.granted, f"{server.name}: {purse} does not add up")
                self._check_granted(account.id, purse.generation, purse.epoch, purse.granted)

    def _check_granted(self, account: UUID, generation: int, epoch: int, granted: int) -> None:
        tables = self.simulation.postgres.tables
        lease = tables.leases.get((account, epoch))
        if generation == tables.generation:
            _demand(lease is not None and granted <= lease.granted, f"a purse has {granted}, but {lease} gave it less")

    # In the end

    def at_rest(self) -> None:
        """Nothing is under way any more: nothing is left over, and what was used is what was charged.

        Raises:
            Violation: a promise is broken.
        """
        simulation = self.simulation
        for server in simulation.valkeys.servers:
            for account in simulation.accounts if server.alive else ():
                purse = server.twin.purse(account.id)
                own = purse is not None and purse.run_id == server.run_id
                _demand(not own or not purse.reserved, f"{server.name} still holds tokens: {purse}")
            for shard in simulation.shards if server.alive else ():
                _demand(not server.twin.live(shard), f"{server.name} has holds in R: {server.twin.live(shard)}")
                _demand(not server.twin.journal(shard, 1), f"{server.name} has a journal that is not drained")
        for spool in simulation.disk.files:
            _demand(not spool.admitted, f"spool {spool.id} still waits for {list(spool.admitted)[:3]}")
        for lease in simulation.postgres.tables.leases.values():
            _demand(lease.state is LeaseState.CLOSED, f"{lease} is not closed")
        self._compare()

    def _compare(self) -> None:
        """Each call's charge against the truth."""
        holds, counts, oracle = self.simulation.postgres.tables.holds, self.simulation.counts, self.simulation.oracle
        lost = 0
        for call in self.simulation.provider.calls.values():
            _demand(call.stage is Stage.OVER, f"{call} never ended")
            counts["tokens generated"] += call.generated
            row = holds.get(call.id)
            charged, absorbed = (row.charged, row.absorbed) if row else (0, 0)
            uncharged = call.generated - charged
            if uncharged < 0:
                counts["overcharged"] -= uncharged
                _demand(False, f"{call} was charged {charged}")
            counts["uncharged"] += uncharged
            if call.id in oracle.forgiven:
                counts["known loss"] += uncharged
            else:
                counts["known loss"] += absorbed
                lost += self._unexplained(call, uncharged - absorbed)
        generated = counts["tokens generated"]
        _demand(lost <= LARGEST_LOSS * generated, f"{lost} of {generated} tokens were never charged")

    def _unexplained(self, call: Call, uncharged: int) -> int:
        counts = self.simulation.counts
        if call.hung_up:
            counts["since heartbeat"] += uncharged
            return 0
        counts["lost"] += uncharged > 0
        return uncharged


def _demand(condition: bool, sentence: str) -> None:  # noqa: FBT001 (an assertion)
    if not condition:
        raise Violation(sentence)
