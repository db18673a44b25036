"""What an operator sees: every call's way through the ledger, nothing that could change it, and no secret."""

from collections.abc import Iterator
from uuid import uuid4

import httpx
import pytest
from playwright.sync_api import Page

from apps.accounts.models import ApiKey
from apps.providers.models import Upstream
from apps.quotas.management.commands.seed_demo import UPSTREAM_CREDENTIAL
from apps.quotas.models import Hold, Transfer
from tests.browser.conftest import Call
from tests.browser.console import Console
from tests.functional.payers import Payer, eventually

PHONE = {"width": 390, "height": 844}
LISTS = (
    "", "quotas/account/", "quotas/order/", "quotas/hold/", "quotas/transfer/", "quotas/lot/", "quotas/lease/",
    "quotas/budget/", "quotas/spool/", "quotas/deadevent/", "quotas/control/", "providers/model/", "providers/price/",
    "providers/provider/", "providers/upstream/", "accounts/user/", "accounts/apikey/", "orgs/organisation/",
    "orgs/tier/", "orgs/tierassignment/", "outbox/outboxevent/", "config/configversion/", "auth/group/",
)  # fmt: skip
FORMS = ("providers/price/add/", "accounts/apikey/add/", "accounts/user/add/", "providers/upstream/add/")


def test_a_wrong_password_is_said_to_be_wrong(stranger: Console, operator: tuple[str, str]) -> None:
    stranger.sign_in(operator[0], "wrong")

    stranger.page.get_by_text("Please enter the correct username and password").wait_for()
    assert stranger.open("quotas/transfer/").url.endswith("/admin/login/?next=/admin/quotas/transfer/")


def test_the_first_page_leads_to_every_list_and_finds_a_call(console: Console, call: Call, payer: Payer) -> None:
    request_id = f"own-{uuid4().hex}"
    assert call(**{"x-request-id": request_id}).status_code == 200
    assert eventually(Hold.objects.filter(request_id=request_id, status="SETTLED").exists), "never booked"
    content = console.page.locator("#content")
    for title in ("Accounts", "Holds", "Transfers", "Models", "Prices", "API keys", "Tiers", "Events"):
        assert content.get_by_role("link", name=title).first.is_visible(), title

    console.page.get_by_role("searchbox", name="Request or reservation id").fill(request_id)
    console.page.get_by_role("button", name="Find", exact=True).click()
    console.page.wait_for_url("**/quotas/hold/?q=*")
    (hold,) = console.rows()
    assert request_id in hold
    assert "SETTLED" in hold

    console.page.locator("#result_list").get_by_role("link", name="transfers").click()
    console.page.wait_for_url("**/quotas/transfer/?q=*")
    codes = Transfer.objects.filter(request_id=request_id).values_list("code", flat=True)
    rows = console.rows()
    assert len(rows) == len(codes) >= 1
    assert "SETTLE" in codes
    assert all(request_id in row for row in rows)
    assert all(any(code in row for row in rows) for code in codes)


@pytest.fixture
def streaming(gateway_url: str, payer: Payer) -> Iterator[str]:
    """The request id of a stream that is under way as long as the test."""
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Slowly."}], "stream": True}
    headers = {"authorization": f"Bearer {payer.key}", "x-stub-chunk-delay-ms": "200", "x-stub-tokens": "500"}
    with httpx.stream("POST", f"{gateway_url}/v1/chat/completions", json=body, headers=headers, timeout=60) as answer:
        yield answer.headers["x-request-id"]


def test_a_live_call_spends_from_a_lease_of_its_account(console: Console, payer: Payer, streaming: str) -> None:
    console.open(f"quotas/account/?q={payer.user_id}")
    leased = payer.balance().leased
    (account,) = console.rows()
    assert leased > 0
    assert {"OPEN", "1,000,000", f"{leased:,}"} <= set(account.split())

    console.open(f"quotas/account/{payer.account}/change/")
    console.page.get_by_role("link", name="leases", exact=True).click()
    console.page.wait_for_url("**/quotas/lease/?q=*")
    (lease,) = console.rows()
    assert {"OPEN", f"{leased:,}"} <= set(lease.split())
    assert not Hold.objects.filter(request_id=streaming).exists(), "it is booked when it ends"


def test_nobody_finds_a_way_to_change_a_transfer(console: Console, call: Call, payer: Payer) -> None:
    assert call().status_code == 200
    assert eventually(Transfer.objects.filter(account=payer.account, code="SETTLE").exists), "never booked"
    transfer = Transfer.objects.filter(account=payer.account).latest("at")

    console.open(f"quotas/transfer/?q={payer.account}")
    assert len(console.rows()) >= 3
    controls = console.page.locator(
        "#content input:not([name=q]), #content select, a[href*='/transfer/add/'], #result_list a[href*='/transfer/'],"
        " a[href*='/transfer/'][href*='delete'], .addlink[href*=transfer]"
    )
    assert controls.evaluate_all("all => all.filter(one => one.type !== 'hidden').map(one => one.outerHTML)") == []

    assert console.open("quotas/transfer/add/").status == 403
    assert console.open(f"quotas/transfer/{transfer.pk}/delete/").status == 403
    assert console.open(f"quotas/transfer/{transfer.pk}/change/").status == 200
    assert console.page.get_by_role("button", name="Save").count() == 0
    assert console.page.locator("#content form input:not([type=hidden]), #content form textarea").count() == 0
    assert posted(console, f"quotas/transfer/{transfer.pk}/change/") == 403
    assert Transfer.objects.filter(pk=transfer.pk, amount=transfer.amount).exists()


def posted(console: Console, path: str) -> int:
    """The answer to a form that the operator's browser sends though no page offers it."""
    token = next(cookie["value"] for cookie in console.page.context.cookies() if cookie["name"] == "leaky_console_csrf")
    form = {"csrfmiddlewaretoken": token, "amount": "1"}
    return console.page.request.post(f"{console.url}/admin/{path}", form=form, max_redirects=0).status


def make_key(console: Console, payer: Payer, name: str) -> str:
    """Make a key in the console; its text, which the next page shows."""
    console.open("accounts/apikey/add/")
    console.page.fill("[name=name]", name)
    console.page.locator(".select2-selection").click()
    console.page.keyboard.type(str(payer.user_id))
    console.page.locator(".select2-results__option--highlighted").wait_for()
    console.page.keyboard.press("Enter")
    console.save()
    return console.page.get_by_text("Copy the key now").locator(".identifier").inner_text()


def test_no_page_shows_a_secret_but_a_new_key_once(console: Console, payer: Payer, gateway_url: str) -> None:
    text = make_key(console, payer, f"own-{uuid4().hex[:8]}")
    authorization = {"authorization": f"Bearer {text}"}
    assert httpx.get(f"{gateway_url}/v1/models", headers=authorization).status_code == 200
    key = ApiKey.objects.filter(owner=payer.user_id).latest("created_at")
    secrets = [text, payer.key, text.split("_")[2], UPSTREAM_CREDENTIAL, key.digest]

    upstream = Upstream.objects.filter(provider="openai").first()
    assert upstream is not None
    pages = [*LISTS, *FORMS, f"accounts/apikey/{key.pk}/change/", f"providers/upstream/{upstream.pk}/change/",
             f"accounts/apikey/{key.pk}/history/", f"accounts/user/{payer.user_id}/change/"]  # fmt: skip
    for path in pages:
        assert console.open(path).status == 200, path
        html = console.page.content()
        assert [secret for secret in secrets if secret in html] == [], path


def too_wide(page: Page) -> int:
    """Pixels by which the page is wider than the screen."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


def test_every_page_fits_a_phone_and_has_a_title(console: Console, call: Call, payer: Payer) -> None:
    assert call().status_code == 200
    console.page.set_viewport_size(PHONE)
    make_key(console, payer, "phone")
    assert too_wide(console.page) == 0
    for path in [*LISTS, *FORMS, f"quotas/account/{payer.account}/change/", f"accounts/user/{payer.user_id}/change/"]:
        console.open(path)
        assert (too_wide(console.page), console.page.title() != "") == (0, True), path
