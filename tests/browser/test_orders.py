"""Tokens given by one operator and approved by another, in a browser; and the pages of what keeps the ledger right."""

from uuid import uuid4

import pytest
from django.conf import global_settings
from django.test import override_settings
from playwright.sync_api import Browser

from apps.accounts import api as accounts
from apps.orgs.api import join, open_organisation
from apps.orgs.models import MemberLimit
from apps.quotas.api import account_id, balance, balances_of, register_spool
from apps.quotas.models import Order, Spool
from tests.browser.conftest import DESKTOP, Call
from tests.browser.console import Console, seconds_until
from tests.browser.test_looking import PHONE, too_wide
from tests.functional.payers import Payer

PAGES = ("quotas/order/add/", "orgs/membership/", "orgs/tier/USER/change/")


@pytest.fixture
def second(browser: Browser, console: Console, committed: None) -> Console:
    """The console of another operator, in a browser of their own."""
    name, password = f"second-{uuid4().hex[:8]}", uuid4().hex
    with override_settings(PASSWORD_HASHERS=global_settings.PASSWORD_HASHERS):
        accounts.open_user(name, f"{name}@example.test", password, operator=True)
    page = browser.new_context(viewport=DESKTOP).new_page()
    other = Console(page, console.url)
    other.sign_in(name, password)
    return other


def _order(console: Console, payer: Payer, tokens: str, reason: str) -> None:
    """From the account's page to an order."""
    console.open(f"quotas/account/{payer.account}/change/")
    console.page.get_by_role("link", name="order tokens").click()
    console.page.fill("[name=tokens]", tokens)
    console.page.fill("[name=reason]", reason)
    console.save()


def test_a_large_grant_is_given_once_a_second_person_approves(
    console: Console, second: Console, payer: Payer, call: Call
) -> None:
    _order(console, payer, "50000000", "contract 7")
    console.page.get_by_text("Waiting for a second person").wait_for()
    assert payer.balance().granted == 1_000_000

    console.open(f"quotas/order/?q={payer.user_id}")
    (row,) = console.rows()
    assert all(word in row for word in ("PENDING", "50,000,000", "contract 7"))
    console.choose("Approve", "contract 7")
    console.confirm("Approve these orders?")
    console.page.get_by_text("Somebody else decides on what you ordered").wait_for()

    second.open(f"quotas/order/?q={payer.user_id}")
    second.choose("Approve", "contract 7")
    assert payer.balance().granted == 1_000_000, "nothing has been confirmed yet"
    second.confirm("Approve these orders?")
    second.page.get_by_text("Done: Grant 50,000,000").wait_for()
    assert payer.balance().granted == 51_000_000
    assert call().status_code == 200


def test_a_small_grant_is_given_at_once_and_a_form_without_a_reason_is_not_sent(console: Console, payer: Payer) -> None:
    console.open(f"quotas/account/{payer.account}/change/")
    console.page.get_by_role("link", name="order tokens").click()
    console.page.fill("[name=tokens]", "5")
    console.page.get_by_role("button", name="Save", exact=True).click()
    assert console.page.locator("[name=reason]").evaluate("field => field.validity.valueMissing")
    assert not Order.objects.filter(payer_id=payer.user_id).exists()

    _order(console, payer, "5", "goodwill")
    console.page.get_by_text("Done: Grant 5").wait_for()
    assert payer.balance().granted == 1_000_005


def test_a_members_limit_is_set_in_the_console(console: Console, payer: Payer) -> None:
    org = open_organisation(f"o{uuid4().hex[:8]}", "Engines")
    join(org, payer.user_id)
    console.open(f"orgs/membership/?q={org.slug}")
    console.page.locator("#result_list tbody a").first.click()
    console.page.get_by_role("link", name="Add another Member limit").click()
    console.page.fill("[name=limits-0-tokens]", "7000")
    console.save()
    limit = MemberLimit.objects.get(membership__org=org)
    assert (limit.tokens, limit.window, limit.provider) == (7000, "month", "")
    assert balances_of("org", org.pk) == []


def test_a_spool_is_written_off_for_a_reason(console: Console, payer: Payer) -> None:
    name = f"lost-{uuid4().hex[:8]}"
    register_spool(name, "burned-down")
    console.open(f"quotas/spool/?q={name}")
    console.choose("Write off", name)
    console.page.get_by_role("button", name="Yes, do it").click()
    assert Spool.objects.get(id=name).state == "OPEN", "the browser asks for a reason first"
    console.page.get_by_label("Why").fill("the machine burned down")
    console.confirm("Write these spools off?")
    seconds_until(lambda: Spool.objects.get(id=name).state == "WRITTEN_OFF")


def test_the_pages_of_the_ledgers_upkeep_fit_a_phone_and_have_titles(console: Console, payer: Payer) -> None:
    _order(console, payer, "5", "a reason of some length, as people write them: goodwill after the outage of Tuesday")
    order = Order.objects.get(payer_id=payer.user_id)
    console.page.set_viewport_size(PHONE)
    assert balance(account_id("user", payer.user_id, "openai")).granted == 1_000_005
    for path in (*PAGES, f"quotas/order/{order.pk}/change/"):
        assert console.open(path).status == 200, path
        assert (too_wide(console.page), console.page.title() != "") == (0, True), path
