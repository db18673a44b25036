"""One answer as it arrives: head, framing, caps. Bytes go in, pieces of the body come out. No sockets, no clock here.

llhttp (through httptools) already refuses Content-Length beside Transfer-Encoding, two Content-Lengths, and lengths
that are not plain digits. What it leaves open is decided here, always towards refusal: an answer that two readers
could end at different bytes is not an answer.
"""

import math

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpResponseParser

from gateway.upstream.client import Limits, UpstreamBroken

_VERSIONS = frozenset({"1.0", "1.1"})
_SWITCHING_PROTOCOLS = 101


class Answer:
    """The answer to one request. Feed it what the connection brings, then what its end means.

    ``is_complete`` says that the body has come to its proper end; ``keep_alive`` that the connection may then carry
    another exchange; ``buffered`` counts the bytes of the body that nobody has taken.
    """

    __slots__ = (
        "_has_body",
        "_head_size",
        "_is_framed",
        "_limits",
        "_parser",
        "_pieces",
        "_received",
        "_unproductive",
        "buffered",
        "has_head",
        "headers",
        "is_complete",
        "keep_alive",
        "keep_alive_seconds",
        "status",
    )

    def __init__(self, limits: Limits, *, has_body: bool = True) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.has_head = False
        self.is_complete = False
        self.keep_alive = False
        self.keep_alive_seconds = math.inf
        self.buffered = 0
        self._limits = limits
        self._has_body = has_body
        self._head_size = 0
        self._is_framed = False
        self._pieces: list[bytes] = []
        self._received = 0
        self._unproductive = 0
        self._parser: HttpResponseParser | None = HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        """Take what arrived. Bytes after the end are dropped, and the connection is then not used again.

        Raises:
            UpstreamBroken: not HTTP/1.x, framed in an ambiguous way, encoded, or beyond a cap.
        """
        self._unproductive += len(data)
        try:
            self._parse(data)
        except UpstreamBroken:
            if not self.is_complete:
                raise
            self.keep_alive = False
        if self._unproductive > self._limits.head_bytes and not self.is_complete:
            # Heads, chunk extensions and trailers without an end all show as this: much comes in, no body comes out.
            raise UpstreamBroken("the answer's head or framing exceeds its cap")

    def end(self) -> None:
        """Take note that the provider has closed its side, which ends an answer that has no other end.

        Raises:
            UpstreamBroken: the answer was to be longer.
        """
        if self.is_complete:
            return
        if not self.has_head:
            raise UpstreamBroken("the connection was closed before the answer's head had come")
        if self._is_framed:
            raise UpstreamBroken("the connection was closed before the answer's end")
        self.is_complete = True

    def take(self) -> bytes:
        """Give all of the body that has arrived since the last time, as one piece."""
        pieces = self._pieces
        if len(pieces) == 1:
            piece = pieces.pop()
        else:
            piece = b"".join(pieces)
            pieces.clear()
        self.buffered = 0
        return piece

    def close(self) -> None:
        """Let go of the parser. It and this object point at each other, and one such pair per call is work for GC."""
        self._parser = None

    def _parse(self, data: bytes) -> None:
        if self._parser is None:
            return
        try:
            self._parser.feed_data(data)
        except HttpParserCallbackError as error:
            raise error.__context__ or error from None
        except (HttpParserError, HttpParserUpgrade) as error:
            raise UpstreamBroken(f"not an HTTP/1.1 answer: {error}") from error

    def on_message_begin(self) -> None:
        """Stop where a second answer begins: nobody has asked for it."""
        if self.is_complete:
            raise UpstreamBroken("bytes after the answer's end")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; a trailer is counted and dropped."""
        self._head_size += len(name) + len(value) + 4
        if self._head_size > self._limits.head_bytes:
            raise UpstreamBroken("the answer's head exceeds its cap")
        if self.has_head:
            return
        name, value = name.lower(), value.strip(b" \t")
        if name in _READ_BY_US:
            self._heed(name, value.lower())
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Decide what the head says about the rest."""
        assert self._parser is not None  # noqa: S101 - it is the parser that calls
        status = self._parser.get_status_code()
        if not 100 <= status <= 599 or status == _SWITCHING_PROTOCOLS:
            raise UpstreamBroken(f"status {status}")
        if self._parser.get_http_version() not in _VERSIONS:
            raise UpstreamBroken("not HTTP/1.x")
        if status < 200:
            self.headers.clear()
            self._is_framed = False
            return
        self.status = status
        self.has_head = True
        self.keep_alive = self._parser.should_keep_alive()
        if not self._has_body:
            self.is_complete = True

    def on_body(self, piece: bytes) -> None:
        """Keep a piece of the body, within the cap."""
        if self.is_complete:
            raise UpstreamBroken("a body after an answer that has none")
        size = len(piece)
        self._unproductive = 0
        self._received += size
        if self._received > self._limits.body_bytes:
            raise UpstreamBroken("the answer's body exceeds its cap")
        self._pieces.append(piece)
        self.buffered += size

    def on_message_complete(self) -> None:
        """Note the proper end. An interim (1xx) answer has one too; it has left no head."""
        if self.has_head:
            self.is_complete = True

    def _heed(self, name: bytes, value: bytes) -> None:
        if name == b"content-length":
            self._is_framed = True
        elif name == b"transfer-encoding":
            # Anything before or after "chunked" would have to be decoded, or leaves the end open. Twice is no better.
            if value != b"chunked" or self._is_framed:
                raise UpstreamBroken("a transfer coding other than chunked")
            self._is_framed = True
        elif name == b"content-encoding":
            if value not in {b"", b"identity"}:
                raise UpstreamBroken("a content coding, though identity was asked for")
        else:
            self.keep_alive_seconds = _keep_alive_seconds(value)


_READ_BY_US = frozenset({b"content-encoding", b"content-length", b"keep-alive", b"transfer-encoding"})


def _keep_alive_seconds(value: bytes) -> float:
    """Read how long the server keeps an idle connection: ``timeout=5, max=100`` is 5."""
    for part in value.split(b","):
        name, _, number = part.strip().partition(b"=")
        if name == b"timeout" and number.isdigit() and len(number) < 10:
            return float(number)
    return math.inf
