"""The account's pages in a real browser: they fit, they shut nobody out, and their flows lead where they should."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.browser.people import Person, Services, Tab, services

SIZES = {"phone": {"width": 390, "height": 844}, "desktop": {"width": 1280, "height": 900}}
PATIENCE_MS = 10_000


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, django_db_setup: None) -> Iterator[Services]:
    """The service ``auth``, with a browser's own view of it."""
    with services(tmp_path_factory.mktemp("services")) as running:
        yield running


@pytest.fixture
def tab(browser: Browser, running: Services, request: pytest.FixtureRequest) -> Iterator[Tab]:
    """A tab that knows nobody yet, of the size and colours that the test asks for. No page breaks its policy."""
    size, scheme = getattr(request, "param", ("desktop", "light"))
    context = browser.new_context(viewport=SIZES[size], color_scheme=scheme)
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    refused: list[str] = []
    page.on("console", lambda message: refused.append(message.text) if "Content Security" in message.text else None)
    yield Tab(page, running)
    context.close()
    assert refused == []


EVERY_WAY = [(size, scheme) for size in SIZES for scheme in ("light", "dark")]


def looked_at(tab: Tab) -> None:
    """The page that shows is as wide as its screen, has a title and a heading, and axe has nothing against it."""
    assert tab.too_wide() == 0, tab.path()
    assert tab.page.title().endswith("\N{EN DASH} Leaky Tokens")
    assert tab.page.locator("h1").count() == 1
    assert tab.complaints() == [], tab.path()


@pytest.mark.parametrize("tab", EVERY_WAY, indirect=True)
def test_every_page_fits_its_screen_and_shuts_nobody_out(tab: Tab) -> None:
    person = Person.new()
    for path in ("/sign-in", "/sign-up", "/forgot", "/reset?token=x", "/verify?token=x", "/nothing", "/sign-out"):
        tab.open(path)
        looked_at(tab)
    tab.sign_in(person)
    looked_at(tab)
    tab.open("/sign-up")
    tab.fill(Username=person.name, **{"E-mail_address": "not@an", "Password": "a", "Password,_once_more": "b"})
    tab.press("Create my account")
    looked_at(tab)
    tab.sign_up(person)
    looked_at(tab)
    tab.open("/invitation?token=x")
    looked_at(tab)
    tab.open("/sign-out")
    looked_at(tab)


def test_an_address_is_confirmed_by_its_mail(tab: Tab) -> None:
    person = Person.new()
    tab.sign_up(person)
    assert tab.page.get_by_text("not confirmed", exact=True).is_visible()

    tab.page.goto(tab.services.link_for(person.email, "verify"))
    tab.press("Confirm")

    assert tab.heading() == "Your address is confirmed"
    tab.open()
    assert tab.page.get_by_text("confirmed", exact=True).is_visible()


def test_a_forgotten_password_is_replaced_by_mail(tab: Tab) -> None:
    person = Person.new()
    tab.sign_up(person)
    tab.open("/sign-out")
    tab.press("Sign out")

    tab.open("/forgot")
    tab.fill(**{"E-mail_address": person.email})
    tab.press("Send me a link")
    tab.page.goto(tab.services.link_for(person.email, "reset"))
    tab.fill(**{"New_password": "quite another one", "New_password,_once_more": "quite another one"})
    tab.press("Change password")
    assert tab.heading() == "Your password is changed"

    tab.sign_in(person)
    assert tab.page.get_by_role("alert").inner_text() == "The username or the password is not right."
    tab.sign_in(person, "quite another one")
    assert tab.path() == "/account"


def test_a_session_is_ended_from_another_browser(browser: Browser, tab: Tab) -> None:
    person = Person.new()
    tab.sign_up(person)
    context = browser.new_context(user_agent="Mozilla/5.0 (Windows NT 10.0) Gecko/20100101 Firefox/140.0")
    other = Tab(context.new_page(), tab.services)
    other.sign_in(person)
    assert other.path() == "/account"

    tab.open()
    with tab.page.expect_navigation():
        tab.page.get_by_role("button", name="Sign out Firefox on Windows").click()

    assert tab.page.get_by_role("status").inner_text() == "The session has ended."
    other.open()
    assert other.path() == "/account/sign-in?next=/account"
    context.close()


def test_guessing_is_answered_with_the_time_to_wait(tab: Tab) -> None:
    person = Person.new()
    tab.sign_up(person)
    for number in range(5):
        tab.sign_in(person, f"wrong {number}")

    tab.sign_in(person)

    assert tab.page.get_by_role("alert").inner_text().startswith("Too many wrong passwords. Please wait ")
    looked_at(tab)


def test_what_one_holds_can_be_done_by_the_keyboard_alone(tab: Tab) -> None:
    person = Person.new()
    tab.sign_up(person)
    tab.page.context.clear_cookies()

    tab.open("/sign-in")
    tab.page.keyboard.type(person.name)
    tab.page.keyboard.press("Tab")
    tab.page.keyboard.type(person.password)
    with tab.page.expect_navigation():
        tab.page.keyboard.press("Enter")
    assert tab.path() == "/account"

    tab.reach("Sign out everywhere")
    with tab.page.expect_navigation():
        tab.page.keyboard.press("Enter")
    assert tab.heading() == "You are signed out everywhere"
