"""What an operator changes in the console is felt at the gateway within a second of the console's answer."""

import logging
from collections.abc import Callable
from uuid import uuid4

from apps.orgs.api import assign_tier
from apps.providers.models import Model
from tests.browser.conftest import Call
from tests.browser.console import Console, seconds_until
from tests.functional.payers import Payer, eventually

logger = logging.getLogger(__name__)


def follows(change: str, ask: Callable[[], bool]) -> None:
    """The gateway does as told in time; how long it took is written to the log."""
    seconds = seconds_until(ask)
    logger.info("%s: felt %.0f ms after the console's answer", change, seconds * 1000)
    assert seconds <= 1


def known(call: Call, model: str) -> int:
    """The charge of a call, once the gateway knows the model."""
    assert eventually(lambda: call(model).status_code == 200)
    return int(call(model).headers["x-charged-tokens"])


def test_a_price_of_twice_the_weight_doubles_the_charge(console: Console, call: Call, model: str) -> None:
    before = known(call, model)

    console.open(f"providers/price/add/?model={Model.objects.get(name=model).pk}")
    for name in ("input_weight", "cached_input_weight", "output_weight"):
        assert console.page.locator(f"[name={name}]").input_value() == "1000"
        console.page.fill(f"[name={name}]", "2000")
    console.save()

    follows("a price", lambda: call(model).headers["x-charged-tokens"] == str(2 * before))
    assert [row for row in console.rows() if model in row and "IN FORCE" in row and "2000" in row]


def test_a_price_is_saved_by_the_keyboard_alone(console: Console, call: Call, model: str) -> None:
    before = known(call, model)

    console.open(f"providers/price/add/?model={Model.objects.get(name=model).pk}")
    for name in ("input_weight", "output_weight"):
        console.reach(name)
        console.page.keyboard.press("Control+A")
        console.page.keyboard.type("3000")
    console.sent(lambda: console.page.keyboard.press("Enter"))

    follows("a price typed", lambda: call(model).headers["x-charged-tokens"] == str(3 * before))


def test_a_disabled_model_is_unknown_until_it_is_enabled(console: Console, call: Call, model: str) -> None:
    known(call, model)

    console.open("providers/model/")
    console.choose("Disable", model)
    assert call(model).status_code == 200, "nothing has been confirmed yet"
    console.confirm("Disable these models?")
    follows("a model disabled", lambda: call.error(model) == (404, "model_not_found"))

    console.page.get_by_text("1 disabled.").wait_for()
    console.choose("Enable", model)
    follows("a model enabled", lambda: call(model).status_code == 200)


def test_a_tiers_bucket_is_made_and_changed(console: Console, call: Call, payer: Payer) -> None:
    tier = f"OWN_{uuid4().hex[:8].upper()}"
    console.open("orgs/tier/add/")
    for name, value in {"name": tier, "bucket_capacity": "50000", "leak_rate": "1000000"}.items():
        console.page.fill(f"[name={name}]", value)
    console.save()
    assert [row for row in console.rows() if tier in row and "50,000" in row]
    assign_tier("user", payer.user_id, tier)
    assert eventually(lambda: call().headers["x-ratelimit-limit-tokens"] == "50000")

    console.open("orgs/tier/")
    console.page.get_by_role("link", name=tier).click()
    console.page.fill("[name=bucket_capacity]", "70000")
    console.save()

    follows("a bucket", lambda: call().headers["x-ratelimit-limit-tokens"] == "70000")


def test_a_tiers_step_of_holds_is_checked_and_kept(console: Console) -> None:
    tier = f"STEP_{uuid4().hex[:8].upper()}"
    console.open("orgs/tier/add/")
    for name, value in {"name": tier, "bucket_capacity": "50000", "leak_rate": "1000000", "hold_step": "10"}.items():
        console.page.fill(f"[name={name}]", value)
    console.save()
    console.page.get_by_text("greater than or equal to 64").wait_for()

    console.page.fill("[name=hold_step]", "256")
    console.save()
    assert [row for row in console.rows() if tier in row]
    console.open("orgs/tier/")
    console.page.get_by_role("link", name=tier).click()
    console.page.locator("[name=hold_step]").wait_for()
    assert console.page.locator("[name=hold_step]").input_value() == "256"


def test_a_revoked_key_is_refused(console: Console, call: Call, payer: Payer) -> None:
    assert call().status_code == 200
    name = payer.key.split("_")[2][:10]

    console.open(f"accounts/apikey/?q={name}")
    console.choose("Revoke keys", name)
    console.confirm("Revoke these keys?")

    follows("a revocation", lambda: call.error() == (401, "invalid_api_key"))
    assert "REVOKED" in console.rows()[0]


def test_a_suspended_account_is_refused_until_it_is_reopened(console: Console, call: Call, payer: Payer) -> None:
    assert call().status_code == 200

    console.open(f"quotas/account/?q={payer.user_id}")
    assert "OPEN" in console.rows()[0]
    console.choose("Suspend: refuse new calls", "openai")
    console.confirm("Suspend these accounts?")
    follows("a suspension", lambda: call.error() == (403, "account_suspended"))

    console.open(f"quotas/account/?q={payer.user_id}")
    assert "SUSPENDED" in console.rows()[0]
    console.choose("Reopen: admit calls again", "openai")
    follows("a reopening", lambda: call().status_code == 200)
