"""A mail server that keeps what it is given, for tests that follow the links in our mail."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from socketserver import StreamRequestHandler, ThreadingTCPServer

from tests.functional.payers import eventually


class Mailbox(ThreadingTCPServer):
    """As much of SMTP (RFC 5321) as Django's client speaks."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Dialogue)
        self.mail: list[tuple[str, str]] = []

    @property
    def url(self) -> str:
        """For ``EMAIL_URL``."""
        return f"smtp://127.0.0.1:{self.server_address[1]}"

    def token_for(self, address: str, page: str) -> str:
        """The token in the newest link to ``page`` that came for ``address``."""
        found = eventually(lambda: self._links(address, page))
        assert found, f"no mail to {address} leads to {page}"
        return found[-1]

    def _links(self, address: str, page: str) -> list[str]:
        texts = [text for receiver, text in self.mail if receiver == address]
        return [link for text in texts for link in re.findall(rf"/account/{page}\?token=(\S+)", text)]


class _Dialogue(StreamRequestHandler):
    server: Mailbox

    def handle(self) -> None:
        self._say("220 ready")
        while line := self.rfile.readline():
            command = line[:4].upper()
            if command == b"DATA":
                self._say("354 go on")
                self._keep()
            self._say("221 bye" if command == b"QUIT" else "250 done")
            if command == b"QUIT":
                return

    def _say(self, words: str) -> None:
        self.wfile.write(f"{words}\r\n".encode())

    def _keep(self) -> None:
        lines = iter(self.rfile.readline, b".\r\n")
        message = message_from_bytes(b"".join(lines), policy=policy.default)
        self.server.mail.append((message["To"], message.get_content()))


@contextmanager
def mailbox() -> Iterator[Mailbox]:
    """One that is open."""
    with Mailbox() as box:
        thread = threading.Thread(target=box.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield box
        box.shutdown()
        thread.join()
