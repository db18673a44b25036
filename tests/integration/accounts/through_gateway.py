"""Calls of the service ``auth`` as they come through the gateway: the token looked up, the caller vouched for."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.test import Client

from apps.accounts.api import CredentialRecord, find_access, published_keys, trust, verify_access_token
from apps.core.http import internal_token
from apps.core.http.caller import ANONYMOUS, Caller

AUTH = "/api/v1/auth"
KEY = internal_token.signing_key("b25seSBmb3IgdGVzdHMsIG5ldmVyIGRlcGxveWVkISE=")


@dataclass
class Answer:
    """What came back."""

    status: int
    json: Any
    headers: Any


def found(token: str) -> CredentialRecord:
    """What the gateway finds out about a token."""
    return find_access(verify_access_token(token, published_keys(), trust(), datetime.now(UTC)))


def caller(token: str, ip: str) -> Caller:
    """The caller for whom the gateway vouches."""
    if not token:
        return Caller(ANONYMOUS, ip=ip)
    record = found(token)
    return Caller(
        record.kind, record.user_id, record.roles, record.scopes, credential_id=record.id,
        client_id=record.client_id, org_id=record.org_id, ip=ip,
    )  # fmt: skip


def call(method: str, path: str, body: Any = None, *, token: str = "", ip: str = "203.0.113.7") -> Answer:
    """One call, with a user's token or anonymously."""
    settings.SERVICES = ["auth"]
    vouched = internal_token.issue(caller(token, ip), "auth", KEY, "req_test")
    answer = Client(raise_request_exception=False).generic(
        method, AUTH + path, b"" if body is None else _json(body), "application/json",
        headers={internal_token.HEADER: vouched, "User-Agent": "tests"},
    )  # fmt: skip
    return Answer(answer.status_code, answer.json() if answer.content else None, answer.headers)


def _json(body: Any) -> bytes:

    return body if isinstance(body, bytes) else json.dumps(body).encode()
