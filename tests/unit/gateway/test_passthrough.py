"""Calls that are passed on to a service: what it gets to see, and what the client gets to see of it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from apps.core.errors import ConfigurationError, InvalidCredential
from apps.core.http.caller import ANONYMOUS, JWT
from gateway import passthrough, settings
from gateway.upstream.client import Limits, Origin
from tests.functional.upstream.server import CHUNKED, Peer, RawServer, Script, answering, chunk, ok
from tests.unit.gateway.door import GOOD, HOST, ORG, USER, Door, Passed

LOGIN = "/api/v1/auth/login"
KEYS = "/api/v1/auth/api-keys"
Open = Callable[[Script], Awaitable[tuple[Door, RawServer]]]


@pytest.fixture
async def open_door() -> AsyncIterator[Open]:
    """A gateway's door with a service behind it that follows a script."""
    opened: list[tuple[Door, RawServer]] = []

    async def start(script: Script) -> tuple[Door, RawServer]:
        server = RawServer(script)
        await server.start()
        opened.append((Door(server.origin), server))
        return opened[-1]

    yield start
    for door, server in opened:
        await door.services.close()
        await server.stop()


async def passed(server: RawServer) -> Passed:
    async with asyncio.timeout(5):
        return Passed.of(await server.asked.get())


async def test_the_call_arrives_as_it_was_sent(open_door: Open) -> None:
    door, server = await open_door(answering(ok(b"{}")))
    headers = (
        (b"content-type", b"application/json"), (b"accept-language", b"de"), (b"idempotency-key", b"i1"),
        (b"x-request-id", b"r1"), (b"x-correlation-id", b"c1"), (b"if-none-match", b'"e"'), (b"tracestate", b"v=1"),
        (b"traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    )  # fmt: skip
    answer = await door.call(LOGIN, "POST", headers, b'{"a": 1}', query=b"next=%2Fx&b=")

    request = await passed(server)
    assert answer.status == 200
    assert (request.line, request.body) == (b"POST /api/v1/auth/login?next=%2Fx&b= HTTP/1.1", b'{"a": 1}')
    assert request.get(b"host") == HOST
    assert {name: request.get(name) for name, _ in headers[:-1]} == dict(headers[:-1])
    assert (request.get(b"traceparent") or b"").startswith(b"00-4bf92f3577b34da6a3ce929d0e0e4736-")
    assert request.get(b"x-forwarded-proto") == b"http"
    assert answer.all(b"x-request-id") == [b"r1"]
    assert answer.all(b"x-correlation-id") == [b"c1"]


@pytest.mark.parametrize("offered", [None, b"", b"two words", b"x" * 65, b"new\xe9"])
async def test_without_a_good_correlation_id_the_requests_id_is_it(open_door: Open, offered: bytes | None) -> None:
    door, server = await open_door(answering(ok(b"")))
    answer = await door.call(LOGIN, headers=() if offered is None else ((b"x-correlation-id", offered),))

    request = await passed(server)
    assert request.get(b"x-correlation-id") == request.get(b"x-request-id")
    assert answer.all(b"x-correlation-id") == answer.all(b"x-request-id") == [request.get(b"x-request-id")]


async def test_only_what_services_read_is_passed_on(open_door: Open) -> None:
    door, server = await open_door(answering(ok(b"")))
    forged = (
        (b"x-user-id", b"1"), (b"x-user-roles", b"ADMIN"), (b"x-org-id", b"1"), (b"x-leaky-identity", b"forged"),
        (b"cookie", b"sessionid=s"), (b"x-forwarded-for", b"127.0.0.1"), (b"x-forwarded-host", b"evil"),
        (b"x-forwarded-proto", b"https"), (b"x-real-ip", b"127.0.0.1"), (b"forwarded", b"for=127.0.0.1"),
        (b"x-http-method-override", b"DELETE"), (b"x-original-url", b"/admin"), (b"te", b"trailers"),
        (b"connection", b"accept, x-request-id"), (b"accept", b"text/html"), (b"x-request-id", b"r1"),
        (b"keep-alive", b"1"), (b"range", b"bytes=0-"), (b"authorization", GOOD), (b"user-agent", b"curl"),
    )  # fmt: skip
    await door.call(KEYS, headers=forged)

    request = await passed(server)
    assert {name for name, _ in request.headers} == {
        b"host", b"accept-encoding", b"user-agent", b"x-request-id", b"x-correlation-id", b"traceparent",
        b"x-forwarded-proto", b"x-leaky-identity",
    }  # fmt: skip
    assert request.get(b"x-request-id") == b"r1"
    assert request.get(b"x-forwarded-proto") == b"http"
    assert request.caller().ip == "192.0.2.7"


async def test_the_gateway_vouches_for_whom_it_knows(open_door: Open) -> None:
    door, server = await open_door(answering(ok(b"")))
    await door.call("/api/v1/analytics/usage", headers=((b"authorization", GOOD),))

    request = await passed(server)
    caller = request.caller("analytics")
    assert (caller.kind, caller.user_id, caller.org_id, caller.roles) == (JWT, USER, ORG, ("ADMIN", "USER"))
    assert (caller.credential_id, sorted(caller.scopes), caller.ip) == ("a-session", ["inference"], "192.0.2.7")
    with pytest.raises(InvalidCredential):
        request.caller("auth")


async def test_nobody_is_vouched_for_as_nobody(open_door: Open) -> None:
    door, server = await open_door(answering(ok(b"")))
    await door.call(LOGIN, "POST", ((b"cookie", b"sessionid=s"),))

    request = await passed(server)
    caller = request.caller()
    assert (caller.kind, caller.user_id, caller.roles, caller.ip) == (ANONYMOUS, None, (), "192.0.2.7")
    assert door.authenticator.asked == 0


@pytest.mark.parametrize("name", [b"authorization", b"x-api-key", b"x-goog-api-key"])
async def test_a_bad_credential_ends_here_also_on_public_paths(open_door: Open, name: bytes) -> None:
    door, server = await open_door(answering(ok(b"")))
    answer = await door.call(LOGIN, "POST", ((name, b"Bearer bad"),))

    assert (answer.status, answer.all(b"www-authenticate")) == (401, [b"Bearer"])
    assert set(answer.json()) == {"message", "timestamp", "status", "path", "correlationId", "code"}
    assert (answer.json()["status"], answer.json()["path"]) == (401, LOGIN)
    assert answer.json()["timestamp"].endswith("Z")
    assert server.accepted == 0


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        (KEYS + "/validate", {b"x-api-key"}),
        ("/oauth2/token", {b"authorization"}),
        ("/.well-known/jwks.json", {b"authorization"}),
        ("/oauth2/authorize", {b"cookie"}),
        ("/oauth2/logout", {b"cookie"}),
        ("/account/sign-in", {b"cookie"}),
        ("/static/a.css", set()),
        ("/v3/api-docs", set()),
    ],
)
async def test_credentials_that_a_service_judges_itself(open_door: Open, path: str, seen: set[bytes]) -> None:
    door, server = await open_door(answering(ok(b"", b"set-cookie: a=1", b"set-cookie: b=2")))
    sent = ((b"authorization", b"Basic eDp5"), (b"x-api-key", b"leaky_k"), (b"cookie", b"sessionid=s"))
    answer = await door.call(path, headers=sent)

    request = await passed(server)
    assert {name for name, _ in sent if request.get(name) is not None} == seen
    assert request.caller().kind == ANONYMOUS
    assert door.authenticator.asked == 0
    assert answer.all(b"set-cookie") == ([b"a=1", b"b=2"] if b"cookie" in seen else [])


async def test_the_answer_comes_as_it_is_but_for_the_connections_own_headers(open_door: Open) -> None:
    head = (
        b"HTTP/1.1 302 Found\r\nlocation: https://client.example/cb?code=1\r\nServer: uvicorn\r\ndate: now\r\n"
        b"connection: x-internal, keep-alive\r\nX-Internal: 1\r\nkeep-alive: timeout=5\r\nx-request-id: other\r\n"
        b"Set-Cookie: a=1; Path=/\r\nset-cookie: b=2\r\nvary: Cookie\r\ncontent-length: 2\r\n\r\nhi"
    )
    door, _ = await open_door(answering(head))
    answer = await door.call("/oauth2/authorize", headers=((b"x-request-id", b"r1"),))

    assert (answer.status, answer.body, answer.whole) == (302, b"hi", True)
    assert answer.headers == [
        (b"location", b"https://client.example/cb?code=1"), (b"set-cookie", b"a=1; Path=/"), (b"set-cookie", b"b=2"),
        (b"vary", b"Cookie"), (b"content-length", b"2"), (b"x-request-id", b"r1"), (b"x-correlation-id", b"r1"),
    ]  # fmt: skip


@pytest.mark.parametrize("status", [b"400 Bad Request", b"401 Unauthorized", b"500 Internal Server Error"])
async def test_what_a_service_refuses_is_its_own_word(open_door: Open, status: bytes) -> None:
    door, _ = await open_door(answering(b"HTTP/1.1 " + status + b"\r\ncontent-length: 2\r\n\r\nno"))
    answer = await door.call(LOGIN)

    assert (answer.status, answer.body) == (int(status[:3]), b"no")


async def test_the_body_streams(open_door: Open) -> None:
    go_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED, chunk(b"one"))
        await go_on.wait()
        await peer.send(chunk(b"two"), chunk(b""))

    door, _ = await open_door(script)
    calling = asyncio.create_task(door.call("/api/v1/analytics/usage"))
    assert await door.pieces.get() == b"one"
    go_on.set()
    answer = await calling

    assert (answer.body, answer.whole) == (b"onetwo", True)
    assert answer.all(b"transfer-encoding") == []


async def test_an_answer_that_breaks_off_has_no_proper_end(open_door: Open) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED, chunk(b"one"))
        peer.close()

    door, _ = await open_door(script)
    answer = await door.call("/api/v1/analytics/usage")

    assert (answer.status, answer.body, answer.whole) == (200, b"one", False)


@pytest.mark.parametrize("when", ["before the head", "in the body"])
async def test_a_client_that_leaves_is_seen_leaving(open_door: Open, when: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        if when == "in the body":
            await peer.send(CHUNKED, chunk(b"one"))

    door, server = await open_door(script)
    calling = asyncio.create_task(door.call(LOGIN, "POST"))
    await server.asked.get()
    door.leave.set()

    async with asyncio.timeout(5):
        await server.departed.get()
        answer = await calling
    assert not answer.whole


async def test_a_service_that_is_away(open_door: Open) -> None:
    door, server = await open_door(answering(ok(b"")))
    await server.stop()
    answer = await door.call(LOGIN, "POST")

    said = answer.json()
    assert (answer.status, answer.all(b"retry-after"), answer.all(b"x-should-retry")) == (503, [b"2"], [b"true"])
    assert (said["service"], said["status"], said["code"]) == ("auth", 503, "service_unavailable")
    assert said["message"] == "The auth service is unavailable."
    assert said["correlationId"].encode() == answer.all(b"x-request-id")[0]


async def test_a_service_that_breaks_off_before_its_answer(open_door: Open) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.close()

    door, _ = await open_door(script)
    answer = await door.call(LOGIN, "POST")
    assert (answer.status, answer.json()["service"], answer.all(b"x-should-retry")) == (503, "auth", [b"false"])


async def test_a_service_that_is_too_slow(open_door: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()

    monkeypatch.setattr(passthrough, "_LIMITS", Limits(first_byte=0.05))
    door, server = await open_door(script)
    answer = await door.call(LOGIN, "POST")

    assert (answer.status, answer.json()["code"], answer.json()["service"]) == (504, "service_timeout", "auth")
    await server.departed.get()


async def test_an_oauth_client_reads_oauths_errors(open_door: Open) -> None:
    door, server = await open_door(answering(ok(b"")))
    too_large = await door.call("/oauth2/token", "POST", body=b"x" * (settings.SERVICE_BODY_LIMIT + 1))
    await server.stop()
    away = await door.call("/oauth2/token", "POST")

    assert (too_large.status, too_large.json()["error"]) == (413, "invalid_request")
    assert (away.status, away.json()["error"]) == (503, "temporarily_unavailable")
    assert set(away.json()) == {"error", "error_description"}


@pytest.mark.parametrize("kind", [b"application/x-www-form-urlencoded", b"text/plain; charset=utf-16", None])
async def test_a_body_of_any_type_up_to_the_cap(open_door: Open, kind: bytes | None) -> None:
    door, server = await open_door(answering(ok(b"")))
    headers = ((b"content-type", kind),) if kind else ()
    body = b"x" * settings.SERVICE_BODY_LIMIT
    fits, too_large = (
        await door.call(LOGIN, "POST", headers, body),
        await door.call(LOGIN, "POST", headers, body + b"x"),
    )

    request = await passed(server)
    assert (fits.status, request.body == body, request.get(b"content-type")) == (200, True, kind)
    assert (too_large.status, too_large.json()["code"], server.asked.empty()) == (413, "request_too_large", True)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (((b"content-encoding", b"gzip"),), 415),
        (((b"connection", b"upgrade"), (b"upgrade", b"h2c")), 426),
        (((b"content-length", b"99999999"),), 413),
        (((b"host", b"other"),), 400),
    ],
)
async def test_bad_heads_never_reach_a_service(
    open_door: Open, headers: tuple[tuple[bytes, bytes], ...], status: int
) -> None:
    door, server = await open_door(answering(ok(b"")))
    answer = await door.call(LOGIN, "POST", headers, b"{}")

    assert (answer.status, answer.json()["status"], server.accepted) == (status, status, 0)


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "FOO"])
async def test_unknown_methods_end_here(open_door: Open, method: str) -> None:
    door, server = await open_door(answering(ok(b"")))
    assert ((await door.call(LOGIN, method)).status, server.accepted) == (501, 0)


async def test_there_is_nothing_beside_the_table() -> None:
    door = Door(Origin("http", "127.0.0.1", 1))
    api, model = await door.call("/api/v1/nothing"), await door.call("/v1/nothing")

    assert (api.status, api.json()["path"], api.json()["code"]) == (404, "/api/v1/nothing", "not_found")
    assert (model.status, model.json()["error"]["code"]) == (404, "not_found")


async def test_a_head_has_no_body(open_door: Open) -> None:
    door, server = await open_door(answering(b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n"))
    answer = await door.call("/static/a.css", "HEAD")

    assert (answer.status, answer.body, answer.all(b"content-length")) == (200, b"", [b"7"])
    assert (await passed(server)).line == b"HEAD /static/a.css HTTP/1.1"


async def test_each_call_has_a_token_of_its_own(open_door: Open) -> None:
    door, server = await open_door(answering(ok(b"")))
    for _ in range(2):
        await door.call(KEYS, headers=((b"authorization", GOOD),))
    tokens = {(await passed(server)).get(b"x-leaky-identity") for _ in range(2)}

    assert len(tokens) == 2
    assert server.accepted == 1


@pytest.mark.parametrize("key", ["", "junk", "c2hvcnQ="])
def test_a_gateway_without_its_key_does_not_start(key: str) -> None:
    with pytest.raises(ConfigurationError, match="GATEWAY_INTERNAL_KEY"):
        passthrough.Services(settings.SERVICES, key)
