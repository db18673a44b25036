"""The console as an operator uses it: pages, forms, lists and their actions, by what is written on them."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from playwright.sync_api import Page, Response

PATIENCE_SECONDS = 10
MOST_TABS = 80


def seconds_until(ask: Callable[[], bool]) -> float:
    """Ask again and again until it is so; how long that took.

    Raises:
        AssertionError: it was not so within :data:`PATIENCE_SECONDS`.
    """
    start = time.monotonic()
    while not ask():
        assert time.monotonic() - start < PATIENCE_SECONDS, "the gateway never followed"
        time.sleep(0.01)
    return time.monotonic() - start


@dataclass(frozen=True, slots=True)
class Console:
    """One tab of the browser. Paths are those after ``/admin/``."""

    page: Page
    url: str

    def open(self, path: str = "") -> Response:
        """Show a page; its answer."""
        answer = self.page.goto(f"{self.url}/admin/{path}")
        assert answer is not None
        return answer

    def sign_in(self, username: str, password: str) -> None:
        """By the keyboard alone: Tab leads to the fields, Enter sends."""
        self.open()
        self.reach("username")
        self.page.keyboard.type(username)
        self.reach("password")
        self.page.keyboard.type(password)
        with self.page.expect_navigation():
            self.page.keyboard.press("Enter")

    def reach(self, name: str) -> None:
        """Press Tab until the field of this name has the focus."""
        for _ in range(MOST_TABS):
            if self.page.evaluate("document.activeElement.name") == name:
                return
            self.page.keyboard.press("Tab")
        raise AssertionError(f"{name} cannot be reached by Tab")

    def sent(self, press: Callable[[], None]) -> None:
        """Do what sends a form, and return once the console has answered it, before the next page shows."""
        with self.page.expect_response(lambda answer: answer.request.method == "POST"):
            press()

    def save(self) -> None:
        """Click on Save; returns with the answer."""
        self.sent(lambda: self.page.get_by_role("button", name="Save", exact=True).click())

    def choose(self, action: str, *rows: str) -> None:
        """Tick the list's rows with these texts, choose an action and run it."""
        for row in rows:
            self.page.locator("#result_list tr", has_text=row).locator("input.action-select").check()
        self.page.locator("select[name=action]").select_option(label=action)
        with self.page.expect_navigation():
            self.page.get_by_role("button", name="Run", exact=True).click()

    def confirm(self, question: str) -> None:
        """Say yes on the page that asks ``question``; returns with the answer."""
        self.page.get_by_role("heading", name=question).wait_for()
        self.sent(lambda: self.page.get_by_role("button", name="Yes, do it").click())

    def rows(self) -> list[str]:
        """The texts of the list's rows, from the top, once the list shows; an empty list never does."""
        self.page.locator("#result_list").wait_for()
        self.page.wait_for_load_state()
        return self.page.locator("#result_list tbody tr").all_inner_texts()
