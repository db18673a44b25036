"""Payers of a test's own, their ledger, and the provider's independent record of what it did."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar
from uuid import UUID, uuid4

import httpx
from django.conf import settings

from apps.accounts import api as accounts
from apps.limiter.api import Limiter, shard_of
from apps.orgs.api import assign_tier
from apps.orgs.models import Tier
from apps.orgs.tiers import save_tier
from apps.quotas import api as quotas

T = TypeVar("T")
PATIENCE_SECONDS = 20


def eventually(ask: Callable[[], T], *, seconds: float = PATIENCE_SECONDS) -> T:
    """Ask until the answer is true, and return it; at the end the last answer, so that an assertion can show it."""
    deadline = time.monotonic() + seconds
    while not (answer := ask()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return answer


@dataclass(frozen=True, slots=True)
class Payer:
    """A user who pays for the calls of one key. ``grows``: the holds of the streams do."""

    user_id: UUID
    key: str
    account: UUID
    grows: bool = False

    def balance(self) -> quotas.Account:
        """The account as the ledger has it now."""
        account = quotas.balance(self.account)
        assert account is not None
        return account

    def settled(self) -> quotas.Account:
        """The account once no call of it is under way any more, and the ledger has what became of them."""
        eventually(self.is_at_rest)
        return self.balance()

    def is_at_rest(self) -> bool:
        """Nothing is held, neither in PostgreSQL nor in Valkey, and nothing waits to be booked."""
        with Limiter(settings.QUOTA_REDIS_URL) as limiter:
            purse, mark = limiter.purse(self.account), limiter.mark(shard_of(self.account))
        return self.balance().held == 0 and mark.drained and (purse is None or purse.reserved == 0)


def open_payer(*, tokens: int, provider: str = "openai") -> Payer:
    """A new user with one key and a grant of ``tokens``."""
    name = f"u{uuid4().hex[:12]}"
    user = accounts.open_user(username=name, email=f"{name}@example.org", password=uuid4().hex)
    _, key = accounts.create_api_key(user, "test")
    quotas.grant(
        payer_kind="user", payer_id=user.id, provider=provider, tokens=tokens, grant_id=uuid4(),
        reason="test", actor="test",
    )  # fmt: skip
    return Payer(user.id, key, quotas.account_id("user", user.id, provider))


def of_tier(tokens: int = 1_000_000, **limits: Any) -> Payer:
    """Somebody new, with a tier of their own."""
    payer, name = open_payer(tokens=tokens), f"T{uuid4().hex[:10]}".upper()
    save_tier(Tier(name=name, **({"bucket_capacity": 100_000, "leak_rate": 1_000} | limits)))
    assign_tier("user", payer.user_id, name)
    return replace(payer, grows="hold_step" in limits)


@dataclass(frozen=True, slots=True)
class Oracle:
    """The stub provider's log, over HTTP."""

    url: str

    def lines(self, request_id: str) -> list[dict[str, Any]]:
        """Everything that the provider recorded of one request of ours, in order."""
        return list(httpx.get(f"{self.url}/_stub/requests/{request_id}").json()["lines"])

    def ending(self, request_id: str) -> dict[str, Any]:
        """How the last call of a request ended on the provider's side, once it has."""
        ended = eventually(lambda: [line for line in self.lines(request_id) if line["event"] == "ended"])
        assert ended, f"the provider never finished {request_id}"
        return ended[-1]

    def calls(self) -> int:
        """Calls that the provider has seen in all."""
        return int(httpx.get(f"{self.url}/_stub/stats").json()["calls"])
