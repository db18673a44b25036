"""A real browser before the running system, an operator who has signed in, and something of one's own to change."""

import shutil
from collections.abc import Iterator
from uuid import uuid4

import httpx
import pytest
from django.conf import global_settings
from django.test import override_settings
from playwright.sync_api import Browser, Page, sync_playwright
from pytest_django import DjangoDbBlocker

from apps.accounts import api as accounts
from apps.providers import services as providers
from apps.providers.api import Offer, open_model
from apps.providers.models import Model
from leaky_tokens.local.system import System
from tests.browser.console import PATIENCE_SECONDS, Console
from tests.functional.payers import Payer, open_payer
from tests.report import BROWSERS

FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
DESKTOP = {"width": 1280, "height": 900}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The machine's own browser. While it is open, Playwright keeps an event loop set in this thread.

    Django would refuse its database there, though nothing runs on that loop while a test does; hence the permission.
    """
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    assert found, f"no browser on this machine: none of {', '.join(BROWSERS)}"
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        browser = playwright.chromium.launch(executable_path=found, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A tab that knows nobody yet. A script of ours that fails there fails the test."""
    context = browser.new_context(viewport=DESKTOP)
    context.set_default_timeout(PATIENCE_SECONDS * 1000)
    page = context.new_page()
    failures: list[str] = []
    page.on("pageerror", lambda error: failures.append(str(error)))
    yield page
    context.close()
    assert failures == []


@pytest.fixture(scope="module")
def operator(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> tuple[str, str]:
    """Somebody with a password, hashed as the console hashes it: the tests' own hasher is a faster one."""
    username, password = f"operator-{uuid4().hex[:8]}", uuid4().hex
    with django_db_blocker.unblock(), override_settings(PASSWORD_HASHERS=global_settings.PASSWORD_HASHERS):
        accounts.open_user(username, f"{username}@example.test", password, operator=True)
    return username, password


@pytest.fixture
def stranger(page: Page, system: System) -> Console:
    """The console before anybody has signed in."""
    return Console(page, str(system.facts["console_url"]))


@pytest.fixture
def console(stranger: Console, operator: tuple[str, str]) -> Console:
    """The console of an operator who has signed in."""
    stranger.sign_in(*operator)
    return stranger


@pytest.fixture
def payer(system: System, committed: None) -> Payer:
    """Somebody new, with a key and a million tokens."""
    return open_payer(tokens=1_000_000)


@pytest.fixture
def model(system: System, committed: None) -> str:
    """The name of a model of the test's own, charged one for one."""
    name = f"own-{uuid4().hex[:8]}"
    open_model("openai", Offer(name, "chat", "o200k_base", 128_000, 16_384, 150_000, 75_000, 600_000))
    row = Model.objects.get(name=name)
    row.upstream_name = "gpt-4o-mini"
    providers.save(row)
    return name


@pytest.fixture
def call(gateway_url: str, payer: Payer) -> Iterator["Call"]:
    """Calls of the payer."""
    with httpx.Client(base_url=gateway_url, headers={"authorization": f"Bearer {payer.key}"}, timeout=30) as client:
        yield Call(client)


class Call:
    """Short calls over one connection."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client

    def __call__(self, model: str = "gpt-4o-mini", **headers: str) -> httpx.Response:
        """Ask ``model`` for ten tokens."""
        body = {"model": model, "messages": [{"role": "user", "content": "Hello."}], "max_tokens": 10}
        return self.client.post("/v1/chat/completions", json=body, headers={"x-stub-tokens": "10", **headers})

    def error(self, model: str = "gpt-4o-mini") -> tuple[int, str]:
        """Status and code of a refusal; the code is empty where there is none."""
        answer = self(model)
        return answer.status_code, str(answer.json().get("error", {}).get("code", ""))
