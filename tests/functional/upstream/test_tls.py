"""HTTPS against a certificate made for the test."""

import datetime
import ipaddress
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.upstream.client import UpstreamBroken, UpstreamUnreachable
from tests.functional.upstream.asking import ask, left_within, read, received_until_error
from tests.functional.upstream.conftest import MakeClient, Serve
from tests.functional.upstream.server import CHUNKED, Peer, answering, answering_once, chunk, ok


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for 127.0.0.1, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "loopback")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    encoding, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    path = tmp_path_factory.mktemp("tls") / "loopback.pem"
    path.write_bytes(
        key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain) + certificate.public_bytes(encoding)
    )
    return path


@pytest.fixture
def server_tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


@pytest.fixture
def client_tls(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate))


async def test_calls_share_a_connection(
    make_client: MakeClient, serve: Serve, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    server = await serve(answering(ok(b"x" * 1_000_000)), server_tls)
    client = make_client(tls=client_tls)
    for _ in range(5):
        assert await read(client, server) == b"x" * 1_000_000
    assert server.accepted == 1


async def test_an_unknown_authority_is_refused_before_anything_is_sent(
    make_client: MakeClient, serve: Serve, server_tls: ssl.SSLContext
) -> None:
    server = await serve(answering(ok(b"")), server_tls)
    with pytest.raises(UpstreamUnreachable):
        await ask(make_client(), server)
    assert server.asked.empty()


async def test_a_server_without_tls_is_unreachable(make_client: MakeClient, serve: Serve) -> None:
    async def script(peer: Peer) -> None:
        await peer.send(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n")

    server = await serve(script)
    server.origin = type(server.origin)("https", server.origin.host, server.origin.port)
    with pytest.raises(UpstreamUnreachable):
        await ask(make_client(), server)


async def test_the_server_sees_an_abort(
    make_client: MakeClient, serve: Serve, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED, chunk(b"a"))

    server = await serve(script, server_tls)
    response = await ask(make_client(tls=client_tls), server)
    assert await response.chunk() == b"a"
    response.abort()
    assert await left_within(server, 1) < 0.1


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_cut_off_answer_fails(
    make_client: MakeClient, serve: Serve, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext, how: str
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED, chunk(b"a"))
        getattr(peer, how)()

    server = await serve(script, server_tls)
    received, error = await received_until_error(await ask(make_client(tls=client_tls), server))
    assert isinstance(error, UpstreamBroken)
    assert received == b"a"


async def test_an_answer_may_end_with_its_connection(
    make_http1: MakeClient, serve: Serve, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    server = await serve(answering_once(b"HTTP/1.1 200 OK\r\n\r\nhello"), server_tls)
    client = make_http1(tls=client_tls)
    assert [await read(client, server) for _ in range(3)] == [b"hello"] * 3


@pytest.mark.asyncio(loop_factories=["uvloop"])
async def test_without_tlss_own_end_it_is_cut_off(
    make_http1: MakeClient, serve: Serve, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    """Anybody on the way can send a FIN; only the server can say in TLS that it has finished.

    The gateway's loop tells the two apart. asyncio's own (of CPython 3.11) does not, so nothing is promised there.
    """

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\nhello")
        peer.reset()

    server = await serve(script, server_tls)
    received, error = await received_until_error(await ask(make_http1(tls=client_tls), server))
    assert isinstance(error, UpstreamBroken)
    assert received == b"hello"
