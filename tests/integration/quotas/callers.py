"""Callers of the token API, as the gateway vouches for them."""

import os
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from django.http import HttpResponse
from django.test import Client

from apps.accounts.api import open_user
from apps.core.http.caller import ADMIN, ALL_SCOPES, API_KEY, JWT, Caller
from apps.core.http.internal_token import HEADER, issue, signing_key
from apps.orgs.api import join, open_organisation
from apps.quotas.api import account_id, grant


@dataclass(frozen=True, slots=True)
class Calls:
    """One caller's calls; every answer is (status, body)."""

    caller: Caller

    @property
    def id(self) -> UUID:
        """The user's."""
        assert self.caller.user_id is not None
        return self.caller.user_id

    def get(self, path: str, **query: Any) -> tuple[int, Any]:
        answer = self.ask(path, **query)
        return answer.status_code, answer.json()

    def post(self, path: str, body: Any, **headers: str) -> tuple[int, Any]:
        client = Client(headers={**self.identity(), **headers})
        answer = client.post(f"/api/v1/{path}", body, content_type="application/json")
        return answer.status_code, answer.json()

    def ask(self, path: str, headers: dict[str, str] | None = None, **query: Any) -> HttpResponse:
        """The whole answer."""
        shown = {
            name.rstrip("_"): value.isoformat() if isinstance(value, datetime) else str(value)
            for name, value in query.items()
        }
        answer: HttpResponse = Client(headers={**self.identity(), **(headers or {})}).get(f"/api/v1/{path}", shown)
        return answer

    def identity(self) -> dict[str, str]:
        """The header by which the gateway vouches."""
        return {HEADER: issue(self.caller, "token", signing_key(os.environ["GATEWAY_INTERNAL_KEY"]), "req_test")}


def somebody(*, kind: str = JWT, org_id: UUID | None = None, admin: bool = False) -> Calls:
    """A new user with a credential that may do everything."""
    name = f"u{uuid4().hex[:12]}"
    user = open_user(name, f"{name}@example.test", "a long enough password")
    roles = ("ADMIN", "USER") if admin else ("USER",)
    assert not admin or ADMIN in roles
    return Calls(Caller(kind, user.pk, roles, ALL_SCOPES, "k123456789", org_id=org_id, ip="203.0.113.7"))


def organisation(**members: Calls) -> UUID:
    """A new organisation; ``members`` by their role."""
    org = open_organisation(f"o{uuid4().hex[:12]}", "Engines")
    for role, member in members.items():
        join(org, member.id, role)
    return UUID(str(org.pk))


def bound_key(calls: Calls, org_id: UUID) -> Calls:
    """The same user with a key that an organisation pays for."""
    return Calls(Caller(API_KEY, calls.id, ("USER",), ALL_SCOPES, "k123456789", org_id=org_id, ip="203.0.113.7"))


def funded(kind: str, payer_id: UUID, tokens: int, provider: str = "openai", reason: str = "test") -> UUID:
    """The account of a payer after one more grant."""
    grant(
        payer_kind=kind,
        payer_id=payer_id,
        provider=provider,
        tokens=tokens,
        grant_id=uuid4(),
        reason=reason,
        actor="tests",
    )
    return account_id(kind, payer_id, provider)
