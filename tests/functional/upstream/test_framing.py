"""What an answer is, over real sockets, for both implementations."""

import pytest

from gateway.upstream.client import Limits, UpstreamBroken, UpstreamClient
from tests.functional.upstream.asking import ask, left_within, read, received_until_error
from tests.functional.upstream.conftest import Serve
from tests.functional.upstream.server import CHUNKED, Peer, RawServer, answering, answering_once, chunk, ok
from tests.unit.upstream.test_answer import BAD, GOOD, UNTIL_CLOSE

BAD_FOR_BOTH = [
    "two framings",
    "two lengths",
    "negative length",
    "chunk size",
    "compressed",
    "another protocol",
    "space before colon",
]


async def _bytewise(peer: Peer, stream: bytes) -> None:
    for place in range(len(stream)):
        await peer.send(stream[place : place + 1])


async def test_a_request_arrives_as_written(client: UpstreamClient, serve: Serve) -> None:
    requests = []

    async def script(peer: Peer) -> None:
        requests.append(await peer.request())
        await peer.send(ok(b"hello", b"X-Request-ID: a", b"Set-Cookie: a=1", b"set-cookie: b=2"))

    server = await serve(script)
    response = await ask(client, server, body=b'{"model":"m"}')
    assert await response.read() == b"hello"

    assert response.status == 200
    assert response.headers == [
        (b"x-request-id", b"a"),
        (b"set-cookie", b"a=1"),
        (b"set-cookie", b"b=2"),
        (b"content-length", b"5"),
    ]
    head, _, body = requests[0].partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    assert first == b"POST /v1/chat/completions HTTP/1.1"
    assert {line.lower() for line in lines} == {
        b"host: 127.0.0.1:%d" % server.origin.port,
        b"accept-encoding: identity",
        b"authorization: bearer x",
        b"content-length: 13",
    }
    assert body == b'{"model":"m"}'


@pytest.mark.parametrize("stream", [stream for stream, _ in GOOD.values()], ids=GOOD)
async def test_framed_answers(client: UpstreamClient, serve: Serve, stream: bytes) -> None:
    body = next(body for known, body in GOOD.values() if known == stream)
    server = await serve(answering(stream))
    assert [await read(client, server) for _ in range(3)] == [body] * 3
    assert server.accepted == 1


@pytest.mark.parametrize(("stream", "body"), UNTIL_CLOSE.values(), ids=UNTIL_CLOSE)
async def test_answers_that_end_with_their_connection(
    client: UpstreamClient, serve: Serve, stream: bytes, body: bytes
) -> None:
    server = await serve(answering_once(stream))
    assert [await read(client, server) for _ in range(2)] == [body] * 2
    assert server.accepted == 2


async def test_an_answer_that_comes_byte_by_byte(client: UpstreamClient, serve: Serve) -> None:
    stream, body = GOOD["extension and trailer"]

    async def script(peer: Peer) -> None:
        await peer.request()
        await _bytewise(peer, stream)

    assert await read(client, await serve(script)) == body


async def test_head_has_no_body_and_says_how_long_it_would_be(client: UpstreamClient, serve: Serve) -> None:
    server = await serve(answering(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"))
    for _ in range(2):
        response = await ask(client, server, method=b"HEAD", body=b"")
        assert (await response.read(), response.headers) == (b"", [(b"content-length", b"5")])
    assert server.accepted == 1


@pytest.mark.parametrize("case", BAD_FOR_BOTH)
async def test_ambiguous_answers_are_refused(client: UpstreamClient, serve: Serve, case: str) -> None:
    server = await serve(answering(BAD[case]))
    with pytest.raises(UpstreamBroken):
        await read(client, server)
    await left_within(server, 1)


@pytest.mark.parametrize("case", BAD)
async def test_ours_is_stricter(http1: UpstreamClient, serve: Serve, case: str) -> None:
    server = await serve(answering(BAD[case]))
    with pytest.raises(UpstreamBroken):
        await read(http1, server)
    await left_within(server, 1)


CUT_OFF = {
    "inside the length": (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello", b"hello"),
    "inside a chunk": (CHUNKED + b"a\r\nhello", b"hello"),
    "between chunks": (CHUNKED + chunk(b"hello"), b"hello"),
    "before the last line": (CHUNKED + chunk(b"hello") + b"0\r\n", b"hello"),
}


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize(("stream", "body"), CUT_OFF.values(), ids=CUT_OFF)
async def test_a_cut_off_answer_gives_what_came_and_then_fails(
    client: UpstreamClient, serve: Serve, stream: bytes, body: bytes, how: str
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(stream)
        getattr(peer, how)()

    received, error = await received_until_error(await ask(client, await serve(script)))
    assert isinstance(error, UpstreamBroken)
    assert received == body


@pytest.mark.parametrize("stream", [b"", b"HTTP/1.1 200 OK\r\ncontent-le"])
async def test_an_answer_cut_off_in_its_head_is_not_repeated(
    client: UpstreamClient, serve: Serve, stream: bytes
) -> None:
    server = await serve(answering_once(stream))
    with pytest.raises(UpstreamBroken):
        await ask(client, server)
    assert server.accepted == 1


async def test_the_heads_cap(client: UpstreamClient, serve: Serve) -> None:
    server = await serve(answering(ok(b"", b"x: " + b"y" * 5000)))
    with pytest.raises(UpstreamBroken):
        await ask(client, server, Limits(head_bytes=4000))


@pytest.mark.parametrize("framing", ["length", "chunked", "until close"])
async def test_the_bodys_cap(client: UpstreamClient, serve: Serve, framing: str) -> None:
    streams = {
        "length": ok(b"x" * 200_000),
        "chunked": CHUNKED + chunk(b"x" * 1000) * 200,
        "until close": b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 200_000,
    }
    server = await serve(answering(streams[framing]))
    _, error = await received_until_error(await ask(client, server, Limits(body_bytes=100_000)))
    assert isinstance(error, UpstreamBroken)
    await left_within(server, 1)


async def test_redirects_are_answers_like_any_other(client: UpstreamClient, serve: Serve) -> None:
    stream = b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"
    server = await serve(answering(stream))
    response = await ask(client, server)
    assert (response.status, await response.read()) == (302, b"")


async def test_ten_megabytes_both_ways(client: UpstreamClient, serve: Serve) -> None:
    requests = []
    body = bytes(range(256)) * 40_000

    async def script(peer: Peer) -> None:
        while True:
            requests.append(await peer.request())
            await peer.send(ok(body))

    server: RawServer = await serve(script)
    response = await ask(client, server, body=body)
    assert await response.read() == body
    assert requests[0].endswith(b"\r\n\r\n" + body)


async def test_many_small_chunks_that_came_together_are_one_piece(http1: UpstreamClient, serve: Serve) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED)
        await peer.send(b"".join(chunk(b"data: %d\n\n" % number) for number in range(100)))
        await peer.send(chunk(b""))

    response = await ask(http1, await serve(script))
    assert await response.chunk() == b"".join(b"data: %d\n\n" % number for number in range(100))
    assert await response.read() == b""


@pytest.mark.parametrize("header", [(b"authorization", b"Bearer x\r\nhost: y"), (b"host", b"y"), (b"a b", b"x")])
async def test_what_may_not_be_written_is_not_sent(
    client: UpstreamClient, serve: Serve, header: tuple[bytes, bytes]
) -> None:
    server = await serve(answering(ok(b"")))
    with pytest.raises(ValueError, match=r"writ|CR"):
        await client.request(server.origin, b"POST", b"/", [header], b"", Limits())
    assert server.accepted == 0
