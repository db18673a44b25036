"""``python -m benchmarks.noop_gateway``: the gateway with a quota backend that says yes and keeps nothing.

It shows what everything but the hold costs. It lives here, and no setting of the product leads to it.
"""

from collections.abc import Mapping, Sequence
from uuid import UUID

from apps.core.errors import InsufficientQuota
from gateway import __main__ as entry
from gateway import asgi
from gateway.app import Gateway
from gateway.control_plane import Admitted, Bucket, Database, Decision, Settled
from gateway.health import CANARY
from gateway.quota import Demand, Ending, Settle
from gateway.valkey_cluster import Store

ADMITTED = Admitted(
    epoch=1, available=0, low=False, lease_left_ms=0, live=1, requests=None, poured_ms=0,
    decision=Decision(allowed=True, level_micro=0, bucket=Bucket(1, 1)),
)  # fmt: skip


class NoQuota:
    """The quota interface without a ledger."""

    async def admit(self, demand: Demand) -> Admitted:
        """Take nothing, and refuse the canary: readiness insists on that.

        Raises:
            InsufficientQuota: the canary.
        """
        if demand is CANARY:
            raise InsufficientQuota(needed=demand.amount, available=0, held=0, granted=0)
        return ADMITTED

    async def extend(self, demand: Demand, tokens: int) -> None:
        """Let it grow."""
        demand.amount += tokens

    def end(self, demand: Demand, admitted: Admitted, ending: Ending) -> Settle:  # noqa: ARG002 - the interface's
        """Say that it is settled."""

        async def settle() -> Settled:
            return Settled(charged=ending.settlement.tokens, released=0, absorbed=0, first=True)

        return settle

    async def renew(self, live: Sequence[tuple[Demand, int]]) -> Mapping[UUID, str]:  # noqa: ARG002 - the interface's
        """Nothing is ever lost."""
        return {}


class NoopGateway(Gateway):
    """The gateway, but for its quota."""

    def _quota(self, database: Database, store: Store) -> NoQuota:  # noqa: ARG002 - the interface's
        return NoQuota()


if __name__ == "__main__":
    asgi.application = NoopGateway()  # the entry serves whatever stands there, so all else is the same
    entry.main()
