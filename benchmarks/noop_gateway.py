"""``python -m benchmarks.noop_gateway``: the gateway with a quota backend that says yes and keeps nothing.

It shows what everything but the hold costs. It lives here, and no setting of the product leads to it.
"""

from collections.abc import Sequence
from uuid import UUID

from apps.core.errors import InsufficientQuota
from gateway import __main__ as entry
from gateway import asgi
from gateway.app import Gateway
from gateway.control_plane import Database, Hold, Quota, Settled, Settlement
from gateway.health import CANARY


class NoQuota:
    """The quota interface without a ledger."""

    async def reserve(self, hold: Hold) -> None:
        """Take nothing, and refuse the canary: readiness insists on that.

        Raises:
            InsufficientQuota: the canary.
        """
        if hold.account == CANARY.account:
            raise InsufficientQuota(needed=hold.amount, available=0, held=0, granted=0)

    async def renew(self, progress: Sequence[tuple[UUID, UUID, int]]) -> set[UUID]:  # noqa: ARG002 - the interface's
        """Nothing is ever lost."""
        return set()

    async def settle(self, settlement: Settlement) -> Settled:
        """Say that it is settled."""
        return Settled(charged=settlement.tokens, released=0, absorbed=0, first=True)


class NoopGateway(Gateway):
    """The gateway, but for its quota."""

    def _quota(self, database: Database) -> Quota:  # noqa: ARG002 - the interface's
        return NoQuota()


if __name__ == "__main__":
    asgi.application = NoopGateway()  # the entry serves whatever stands there, so all else is the same
    entry.main()
