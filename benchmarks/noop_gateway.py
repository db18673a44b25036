"""``python -m benchmarks.noop_gateway``: the gateway with a quota backend that says yes and keeps nothing.

It shows what everything but the hold costs. It lives here, and no setting of the product leads to it.
"""

from collections.abc import Mapping, Sequence
from uuid import UUID

from apps.core.errors import InsufficientQuota
from gateway import __main__ as entry
from gateway import asgi
from gateway.app import Gateway
from gateway.control_plane import Admitted, Database, Decision, Settled
from gateway.health import CANARY
from gateway.quota import Demand, Ending, Quota, Settle
from gateway.valkey_cluster import Store


class NoQuota:
    """The quota interface without a ledger."""

    async def admit(self, demand: Demand) -> Admitted:
        """Take nothing, and refuse the canary: readiness insists on that.

        Raises:
            InsufficientQuota: the canary.
        """
        if demand is CANARY:
            raise InsufficientQuota(needed=demand.amount, available=0, held=0, granted=0)
        decision = Decision(True, 0, demand.terms.policy.bucket)  # noqa: FBT003 - the limiter's
        return Admitted(1, 0, False, 0, 1, decision, None, 0)  # noqa: FBT003 - the limiter's

    def end(self, demand: Demand, admitted: Admitted, ending: Ending) -> Settle:  # noqa: ARG002 - the interface's
        """Nothing is to be kept."""

        async def settle() -> Settled:
            return Settled(charged=ending.settlement.tokens, released=0, absorbed=0, first=True)

        return settle

    async def renew(self, live: Sequence[tuple[Demand, int]]) -> Mapping[UUID, str]:  # noqa: ARG002 - the interface's
        """Nothing is ever lost."""
        return {}


class NoopGateway(Gateway):
    """The gateway, but for its quota."""

    def _quota(self, database: Database, store: Store) -> Quota:  # noqa: ARG002 - the interface's
        return NoQuota()


if __name__ == "__main__":
    asgi.application = NoopGateway()  # the entry serves whatever stands there, so all else is the same
    entry.main()
