"""Which pages of other origins may call the API. Off by default; never for pages that people look at."""

import pytest

from apps.core.errors import ConfigurationError
from gateway import cors
from gateway.upstream.client import Origin
from tests.unit.gateway.door import Answer, Door

APP, STRANGER = b"https://app.example", b"https://app.example.evil"
ASKING = (b"access-control-request-method", b"POST")


async def sent(path: str, origin: bytes | None, *headers: tuple[bytes, bytes], method: str = "OPTIONS") -> Answer:
    """The answer, with nobody behind the gateway: only what it says itself."""
    own = () if origin is None else ((b"origin", origin),)
    return await Door(Origin("http", "127.0.0.1", 1)).call(path, method, (*own, *headers))


def allowed(answer: Answer) -> list[bytes]:
    return answer.all(b"access-control-allow-origin")


@pytest.fixture
def one_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cors, "ORIGINS", frozenset({APP}))


async def test_off_unless_set() -> None:
    answer = await sent("/v1/models", APP, ASKING)

    assert (answer.status, allowed(answer), answer.all(b"vary")) == (405, [], [])


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/v1/auth/login", "/oauth2/token", "/.well-known/x"])
@pytest.mark.usefixtures("one_origin")
async def test_a_preflight_is_answered_without_a_credential(path: str) -> None:
    names = b"authorization,content-type,x-stainless-os"
    answer = await sent(path, APP, ASKING, (b"access-control-request-headers", names))

    assert (answer.status, answer.body, allowed(answer)) == (204, b"", [APP])
    assert answer.all(b"access-control-allow-headers") == [names]
    assert b"POST" in answer.all(b"access-control-allow-methods")[0]
    assert answer.all(b"vary") == [b"Access-Control-Request-Headers", b"Origin"]
    assert answer.all(b"access-control-allow-credentials") == []


@pytest.mark.usefixtures("one_origin")
async def test_refusals_can_be_read_too() -> None:
    answer = await sent("/v1/nothing", APP, method="GET")

    assert (answer.status, allowed(answer), answer.all(b"vary")) == (404, [APP], [b"Origin"])
    assert b"x-request-id" in answer.all(b"access-control-expose-headers")[0]


@pytest.mark.parametrize("origin", [STRANGER, b"null", b"https://APP.example", b"http://app.example", None])
@pytest.mark.usefixtures("one_origin")
async def test_nobody_else_is_told_anything(origin: bytes | None) -> None:
    preflight, call = await sent("/v1/models", origin, ASKING), await sent("/v1/nothing", origin, method="GET")

    assert (preflight.status, allowed(preflight), allowed(call)) == (405, [], [])
    assert call.all(b"vary") == [b"Origin"]


@pytest.mark.parametrize("path", ["/oauth2/authorize", "/oauth2/logout", "/account/sign-in", "/static/a.js"])
@pytest.mark.usefixtures("one_origin")
async def test_pages_are_never_opened(path: str) -> None:
    answer = await sent(path, APP, ASKING)

    assert (answer.status, allowed(answer)) == (503, [])


async def test_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cors, "ORIGINS", frozenset({b"*"}))
    answer = await sent("/v1/models", STRANGER, ASKING, (b"access-control-request-headers", b"a\x0bb"))

    assert (answer.status, allowed(answer)) == (204, [b"*"])
    assert answer.all(b"access-control-allow-headers") == []


@pytest.mark.parametrize(
    "origin", ["app.example", "https://app.example/", "https://", "ftp://a", "https://a.b/c", "null", "HTTPS://a.b"]
)
def test_a_word_that_is_no_origin_stops_the_start(origin: str) -> None:
    with pytest.raises(ConfigurationError, match="LEAKY_CORS_ORIGINS"):
        cors.allowed_origins([origin])


def test_everybody_stands_alone() -> None:
    with pytest.raises(ConfigurationError, match="alone"):
        cors.allowed_origins(["*", "https://app.example"])
    assert cors.allowed_origins(["https://a.example:8443"]) == {b"https://a.example:8443"}
