"""The API's description in a real browser: both pages show all of it, ask nobody else, and break no policy."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.people import Services, services
from tests.browser.test_account_pages import PATIENCE_MS, SIZES

OTHERS_LOGO = "cdn.redoc.ly"
"""ReDoc names its maker with a picture from there; our policy refuses it, and the page shows words instead."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, django_db_setup: None) -> Iterator[Services]:
    """The service ``auth``."""
    with services(tmp_path_factory.mktemp("services")) as running:
        yield running


@pytest.fixture(params=SIZES)
def page(browser: Browser, running: Services, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A tab of either size; at the end it has asked only us and refused nothing of ours."""
    context = browser.new_context(viewport=SIZES[request.param], base_url=running.url)
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    page.on("requestfinished", lambda sent: asked.append(sent.url))
    yield page
    context.close()
    assert [text for text in said if OTHERS_LOGO not in text] == []
    assert [url for url in asked if not url.startswith((running.url, "data:", "blob:"))] == []


def _fits(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"))


def test_swagger_shows_every_group_and_an_operation(page: Page) -> None:
    page.goto("/swagger-ui.html")
    page.get_by_role("heading", name="Leaky Tokens API").wait_for()
    assert [name.split("\n")[0] for name in page.locator(".opblock-tag").all_inner_texts()] == [
        "API keys", "auth", "models", "OAuth2", "organisations", "tokens",
    ]  # fmt: skip
    page.locator(".opblock-tag", has_text="models").first.click()
    page.get_by_text("/v1/chat/completions").first.click()
    page.get_by_text("Why do leaky buckets overflow?").first.wait_for()
    assert _fits(page)


def test_redoc_shows_every_operation(page: Page) -> None:
    page.goto("/redoc")
    page.get_by_role("heading", name="Leaky Tokens API").first.wait_for()
    for summary in ("Ask a chat model", "Make an API key", "Send a person here to sign in and consent"):
        page.get_by_role("heading", name=summary).first.wait_for(state="attached")
    assert _fits(page)
