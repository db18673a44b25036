"""The account's pages as a person uses them: a services process of the tests' own, its mail, and a tab."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from playwright.sync_api import Page

from leaky_tokens.local.ports import free_port
from leaky_tokens.local.probes import answers

START_SECONDS = 30
MOST_TABS = 60
AXE = Path(__file__).parent / "vendor" / "axe.min.js"


@dataclass(frozen=True, slots=True)
class Services:
    """A running services process: where it answers, and its log, into which it also writes its mail."""

    url: str
    log: Path

    @property
    def elsewhere(self) -> str:
        """The same process under another origin: an application's address, as browsers see it."""
        return self.url.replace("127.0.0.1", "localhost")

    def link_for(self, address: str, page: str) -> str:
        """The link to ``page`` in the newest mail to ``address``, once it has been sent."""
        deadline = time.monotonic() + START_SECONDS
        mail = re.compile(
            rf"^To: {re.escape(address)}$.*?(http\S+/account/{page}\?token=\S+)", re.MULTILINE | re.DOTALL
        )
        while time.monotonic() < deadline:
            if found := mail.findall(self.log.read_text()):
                return str(found[-1])
            time.sleep(0.05)
        raise AssertionError(f"no mail to {address} leads to {page}")


@contextmanager
def services(directory: Path) -> Iterator[Services]:
    """Start the service ``auth`` alone, on the stores of the test session, and stop it at the end."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    own = {
        "DJANGO_SETTINGS_MODULE": "leaky_tokens.settings.dev",
        "LEAKY_SERVICES": "auth",
        "LEAKY_DATABASE_SCOPE": "tenant",
        "LEAKY_PUBLIC_URL": url,
        "EMAIL_URL": "consolemail://",
    }
    command = [sys.executable, "-m", "uvicorn", "leaky_tokens.asgi:application", "--port", str(port)]
    log = directory / "services.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=os.environ | own, stdout=output, stderr=subprocess.STDOUT)
    try:
        _wait(process, port, log)
        yield Services(url, log)
    finally:
        process.terminate()
        process.wait(timeout=20)


def _wait(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    is_ready, deadline = answers(port, "/readyz"), time.monotonic() + START_SECONDS
    while not is_ready():
        assert process.poll() is None, log.read_text()[-3000:]
        assert time.monotonic() < deadline, log.read_text()[-3000:]
        time.sleep(0.05)


@dataclass(frozen=True, slots=True)
class Person:
    """Name, address and password of somebody."""

    name: str
    email: str
    password: str

    @classmethod
    def new(cls) -> "Person":
        """Somebody nobody has heard of."""
        name = f"person-{uuid4().hex[:8]}"
        return cls(name, f"{name}@example.test", f"a pass phrase {uuid4().hex[:8]}")


@dataclass(frozen=True, slots=True)
class Tab:
    """One tab of a browser. Paths are those after ``/account``."""

    page: Page
    services: Services

    def open(self, path: str = "") -> int:
        """Show a page; its status."""
        answer = self.page.goto(f"{self.services.url}/account{path}")
        assert answer is not None
        return answer.status

    def fill(self, **fields: str) -> None:
        """Write into fields by their labels, with ``_`` for a space."""
        for label, text in fields.items():
            self.page.get_by_label(label.replace("_", " "), exact=True).fill(text)

    def press(self, button: str) -> None:
        """Click on a button and wait for the next page."""
        with self.page.expect_navigation():
            self.page.get_by_role("button", name=button, exact=True).click()

    def sign_up(self, person: Person, path: str = "/sign-up") -> None:
        """Make an account."""
        self.open(path)
        self.fill(Username=person.name, **{"E-mail_address": person.email, "Password": person.password})
        self.fill(**{"Password,_once_more": person.password})
        self.press("Create my account")

    def sign_in(self, person: Person, password: str = "") -> None:
        """With name and password."""
        self.open("/sign-in")
        self.fill(Username=person.name, Password=password or person.password)
        self.press("Sign in")

    def reach(self, button: str) -> None:
        """Press Tab until the button has the focus, and see that it shows."""
        for _ in range(MOST_TABS):
            self.page.keyboard.press("Tab")
            if self.page.evaluate("document.activeElement.innerText.trim()") == button:
                assert self.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
                return
        raise AssertionError(f"{button} cannot be reached by Tab")

    def heading(self) -> str:
        """The page's first heading."""
        return self.page.locator("h1").first.inner_text()

    def path(self) -> str:
        """Where the tab is, without the origin."""
        return self.page.url.removeprefix(self.services.url)

    def too_wide(self) -> int:
        """Pixels by which the page is wider than the screen."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))

    def complaints(self) -> list[str]:
        """What axe finds that keeps somebody out: its rules of serious and critical impact."""
        self.page.evaluate(AXE.read_text())
        results = self.page.evaluate("axe.run()")
        return [
            f"{found['id']}: {node['html']}"
            for found in results["violations"]
            if found["impact"] in {"serious", "critical"}
            for node in found["nodes"]
        ]
