"""Callers of the services, as the gateway vouches for them."""

import json
import os
from typing import Any
from uuid import uuid4

from django.test import Client

from apps.accounts.api import open_user
from apps.accounts.models import Role, User
from apps.core.http import internal_token
from apps.core.http.caller import ADMIN, ALL_SCOPES, API_KEY, JWT, USER, Caller


def new_user(*roles: str) -> User:
    """A user of the test's own, with these roles."""
    name = f"u{uuid4().hex[:12]}"
    user = open_user(name, f"{name}@example.test", "a long enough password")
    user.roles.set(Role.objects.filter(name__in=roles or [USER]))
    return user


def signed_in(user: User) -> Caller:
    """Signed in with name and password."""
    roles = tuple(sorted(user.roles.values_list("name", flat=True)))
    return Caller(JWT, user.pk, roles, ALL_SCOPES, credential_id=str(uuid4()), ip="203.0.113.7")


def admin() -> Caller:
    """An ADMIN."""
    return signed_in(new_user(ADMIN))


def with_key(user: User, key_id: str, *scopes: str, **more: Any) -> Caller:
    """Calling with an API key that has these scopes."""
    roles = tuple(sorted(user.roles.values_list("name", flat=True)))
    return Caller(API_KEY, user.pk, roles, frozenset(scopes), credential_id=key_id, ip="203.0.113.7", **more)


class Api:
    """Requests of one caller; None: nobody is signed in."""

    def __init__(self, caller: Caller | None) -> None:
        self._client = Client(raise_request_exception=False)
        self._caller = caller

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """The answer to one request with a JSON body."""
        if self._caller is not None:
            key = internal_token.signing_key(os.environ["GATEWAY_INTERNAL_KEY"])
            headers[internal_token.HEADER] = internal_token.issue(self._caller, "auth", key, "req_test")
        sent: dict[str, Any] = {}
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            sent = {"data": data, "content_type": "application/json"}
        return self._client.generic(method, path, headers=headers, **sent)
