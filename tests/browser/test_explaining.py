"""The console's page about one request: found from the menu, told in sentences, on a desk and on a phone."""

import os
from uuid import uuid4

import httpx
import pytest

from tests.browser.conftest import Call
from tests.browser.console import Console
from tests.browser.test_looking import PHONE, too_wide
from tests.functional.payers import Payer, eventually, open_payer

BODY = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello."}], "max_tokens": 10}


def _ask(console: Console, term: str) -> str:
    """The page's text after a search."""
    console.page.get_by_role("searchbox", name="Request or reservation id").fill(term)
    console.page.get_by_role("button", name="Explain", exact=True).click()
    console.page.wait_for_url("**/quotas/explainedrequest/?q=*")
    return console.page.locator("#content").inner_text()


def test_an_admitted_call_is_told_with_the_ways_to_its_rows(console: Console, call: Call, payer: Payer) -> None:
    answer = call()
    assert answer.status_code == 200
    charged = int(answer.headers["x-charged-tokens"])
    console.open()
    console.page.locator("#content").get_by_role("link", name="Explain").first.click()
    console.page.wait_for_url("**/quotas/explainedrequest/")
    assert eventually(lambda: f"{charged} tokens were charged" in _ask(console, answer.headers["x-request-id"])), (
        "what was charged is told"
    )
    assert "Admitted: completed" in _ask(console, answer.headers["x-reservation-id"])

    console.page.locator("#content").get_by_role("link", name="transfers").click()
    console.page.wait_for_url("**/quotas/transfer/?q=*")
    assert console.rows()


@pytest.mark.parametrize("width", [PHONE["width"], 1280])
def test_a_refused_call_is_told_with_its_limit_at_every_width(
    console: Console, gateway_url: str, committed: None, width: int
) -> None:
    poor = open_payer(tokens=1)
    headers = {"authorization": f"Bearer {poor.key}"}
    answer = httpx.post(f"{gateway_url}/v1/chat/completions", json=BODY, headers=headers)
    console.page.set_viewport_size({"width": width, "height": 844})
    console.open("quotas/explainedrequest/")
    told = _ask(console, answer.headers["x-request-id"])

    assert f"was refused with {answer.status_code}" in told
    assert "The limit was" in told
    assert too_wide(console.page) == 0
    if folder := os.environ.get("SCREENSHOTS"):
        console.page.screenshot(path=f"{folder}/explain-{width}.png", full_page=True)


def test_what_is_not_known_is_said_to_be_not_known(console: Console) -> None:
    console.open("quotas/explainedrequest/")

    assert "Nothing is known of it" in _ask(console, f"req_{uuid4().hex}")
