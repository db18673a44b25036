"""The one public door in the running system, and what a service does without it: CONTRACT.md 0.3, 0.4; S11, S20."""

import base64
import os
import time
from uuid import UUID

import httpx
import pytest
from django.test import Client
from joserfc import jwt

from apps.core.http import internal_token
from apps.core.http.caller import JWT, Caller
from leaky_tokens.local.system import System

USER = UUID(int=7)
SHAPE = {"message", "timestamp", "status", "path", "correlationId", "code"}


@pytest.mark.parametrize("path", ["/api/v1/nothing", "/api/v1/auth/nothing", "/api/v1/tokens/nothing"])
def test_what_is_not_there_is_said_in_one_shape_by_gateway_and_services(gateway_url: str, path: str) -> None:
    answer = httpx.get(f"{gateway_url}{path}", headers={"x-correlation-id": "c-1"})

    assert answer.status_code == 404
    assert set(answer.json()) == SHAPE
    assert (answer.json()["path"], answer.json()["correlationId"]) == (path, "c-1")
    assert answer.headers["x-request-id"] == answer.headers.get("x-correlation-id", "c-1") == "c-1"


@pytest.mark.parametrize(
    "path", ["/admin/", "/livez/", "/api/v1/auth/../../../admin/", "/api/v1/auth/%2e%2e/x", "//api"]
)
def test_nothing_else_of_a_service_is_public(gateway_url: str, path: str) -> None:
    with httpx.Client() as client:
        request = client.build_request("GET", gateway_url)
        request.url = request.url.copy_with(raw_path=path.encode())
        answer = client.send(request)

    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("application/json")


def test_a_bad_credential_does_not_get_through(gateway_url: str) -> None:
    answer = httpx.get(f"{gateway_url}/api/v1/auth/nothing", headers={"authorization": "Bearer nobody"})

    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert set(answer.json()) == SHAPE


def test_only_gateways_can_sign(system: System) -> None:
    """Of the processes that run here; their environment says what each of them knows."""
    knowing = {
        name for name, pid in system.facts["processes"].items() if b"\0GATEWAY_INTERNAL_KEY=" in _environment(pid)
    }
    assert knowing == {"gateway"}


def _environment(pid: int) -> bytes:
    with open(f"/proc/{pid}/environ", "rb") as stream:  # noqa: PTH123 (a file of the kernel's, not a path of ours)
        return b"\0" + stream.read()


def signed(seed: str | None = None, service: str = "token", **changed: object) -> str:
    """A token for a caller, signed like a gateway's but for what is changed."""
    key = internal_token.signing_key(seed or os.environ["GATEWAY_INTERNAL_KEY"])
    good = internal_token.issue(Caller(JWT, user_id=USER), service, key, "r")
    if not changed:
        return good
    claims = jwt.decode(good, key, algorithms=[internal_token.ALGORITHM]).claims | changed
    protected = {"alg": internal_token.ALGORITHM, "typ": internal_token.TYPE}
    return jwt.encode(protected, claims, key, algorithms=[internal_token.ALGORITHM])


@pytest.mark.django_db
@pytest.mark.urls("tests.functional.protected_urls")
class TestAService:
    """Called without the gateway between."""

    def test_it_believes_the_gateway(self, client: Client) -> None:
        answer = client.get("/whoami", headers={"x-leaky-identity": signed()})
        assert (answer.status_code, answer.json()) == (200, {"userId": str(USER)})

    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"x-user-id": str(USER), "x-user-roles": "ADMIN", "x-org-id": str(USER)},
            {"authorization": "Bearer leaky_key"},
            {"x-api-key": "leaky_key"},
            {"cookie": "sessionid=s"},
        ],
    )
    def test_it_believes_nothing_else(self, client: Client, headers: dict[str, str]) -> None:
        answer = client.get("/whoami", headers=headers)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert set(answer.json()) == SHAPE

    @pytest.mark.parametrize(
        "token",
        [
            pytest.param(lambda: signed(base64.b64encode(bytes(32)).decode()), id="another key"),
            pytest.param(lambda: signed(service="auth"), id="another service"),
            pytest.param(lambda: signed(aud=None), id="no service"),
            pytest.param(lambda: signed(exp=int(time.time()) - 6), id="expired"),
            pytest.param(lambda: signed(exp=None), id="endless"),
            pytest.param(lambda: signed(iss="leaky-tokens-auth"), id="another issuer"),
            pytest.param(lambda: signed()[:-4], id="cut"),
            pytest.param(lambda: "", id="empty"),
            pytest.param(lambda: "e30.e30.", id="unsigned"),
        ],
    )
    def test_forged(self, client: Client, token: object) -> None:
        assert callable(token)
        answer = client.get("/whoami", headers={"x-leaky-identity": token()})
        assert answer.status_code == 401
