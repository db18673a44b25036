"""Calls as the gateway passes them on: each with its caller's internal token."""

import os
from typing import Any
from uuid import UUID

from django.test import Client

from apps.accounts.api import open_user
from apps.accounts.models import User
from apps.core.http.caller import ADMIN, ALL_SCOPES, JWT, Caller
from apps.core.http.internal_token import HEADER, issue, signing_key


def person(name: str, *, verified: bool = True) -> User:
    """A user with an address of their own."""
    user = open_user(name, f"{name}@example.test", "a long enough password")
    if verified:
        user.email_verified_at = user.date_joined
        user.save()
    return user


class Calls:
    """One caller's calls; every answer is (status, body)."""

    def __init__(self, caller: Caller) -> None:
        token = issue(caller, "auth", signing_key(os.environ["GATEWAY_INTERNAL_KEY"]), "req_test")
        self._client = Client(headers={HEADER: token})

    def get(self, path: str) -> tuple[int, Any]:
        return self._send("get", path)

    def post(self, path: str, **body: Any) -> tuple[int, Any]:
        return self._send("post", path, body)

    def patch(self, path: str, **body: Any) -> tuple[int, Any]:
        return self._send("patch", path, body)

    def put(self, path: str, **body: Any) -> tuple[int, Any]:
        return self._send("put", path, body)

    def delete(self, path: str) -> tuple[int, Any]:
        return self._send("delete", path)

    def _send(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        send = getattr(self._client, method)
        path = f"/api/v1/{path}"
        response = send(path) if body is None else send(path, body, content_type="application/json")
        return response.status_code, response.json() if response.content else None


def as_user(
    user: User, *, kind: str = JWT, org_id: UUID | None = None, scopes: frozenset[str] = ALL_SCOPES, admin: bool = False
) -> Calls:
    """Calls of a user with a credential of this kind."""
    roles = (ADMIN,) if admin else ()
    return Calls(Caller(kind, user.pk, roles, scopes, "a-credential", org_id=org_id, ip="203.0.113.7"))
