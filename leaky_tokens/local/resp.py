"""One question to a Valkey. The client library would do it too, but importing it takes longer than starting the server,
and everything waits for the launcher.
"""

import socket
import ssl
from urllib.parse import SplitResult, unquote, urlsplit


def ask(url: str, *words: str, seconds: float) -> bytes:
    """The first line of the reply to a command, without its line end (RESP2: ``+PONG``, ``:1``, ``-ERR …``).

    Raises:
        OSError: nobody answers, not in time, or not with a reply.
    """
    address = urlsplit(url)
    commands = [["AUTH", *_credentials(address.username, address.password)]] if address.password else []
    with _connect(address, seconds) as connection:
        connection.sendall(b"".join(_packed(command) for command in (*commands, list(words))))
        replies = connection.makefile("rb")
        for _ in commands:
            if not replies.readline().startswith(b"+"):
                raise OSError(f"the server at {address.hostname}:{address.port} refuses our password")
        reply = replies.readline().rstrip(b"\r\n")
    if not reply:
        raise OSError(f"the server at {address.hostname}:{address.port} does not answer")
    return reply


def _connect(address: SplitResult, seconds: float) -> socket.socket:
    host = address.hostname or ""
    connection = socket.create_connection((host, address.port or 6379), timeout=seconds)
    if address.scheme == "rediss":
        return ssl.create_default_context().wrap_socket(connection, server_hostname=host)
    return connection


def _credentials(username: str | None, password: str) -> list[str]:
    return [unquote(word) for word in (username, password) if word]


def _packed(words: list[str]) -> bytes:
    parts = [b"$%d\r\n%s\r\n" % (len(word), word) for word in (word.encode() for word in words)]
    return b"*%d\r\n" % len(parts) + b"".join(parts)
