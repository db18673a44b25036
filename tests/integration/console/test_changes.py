"""What operators do in the console: gateways hear of it, history stays, secrets never come back."""

import re
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.utils import timezone

from apps.accounts.api import create_api_key, open_user
from apps.accounts.models import ApiKey, User
from apps.config.api import CATALOGUE, CREDENTIALS, TIERS, versions
from apps.core.errors import InvalidCredential
from apps.orgs.api import join, open_organisation, principal_of, tier_of
from apps.orgs.models import Membership, Tier
from apps.providers.api import catalogue
from apps.providers.models import Model, Price
from apps.providers.services import save_price
from tests.integration.providers.catalogue_rows import CANARY, acme, acme_model, acme_upstream

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.integration.console.urls")]

KEY = re.compile(r"leaky_[0-9a-f-]{36}_[0-9A-Za-z]{48}")
PAGES = (
    "accounts/apikey/", "accounts/apikey/add/", "accounts/user/", "accounts/user/add/", "auth/group/",
    "config/configversion/", "orgs/organisation/", "orgs/organisation/add/", "orgs/tier/", "orgs/tier/add/",
    "orgs/membership/", "orgs/membership/add/", "orgs/invitation/",
    "orgs/tierassignment/", "orgs/tierassignment/add/", "providers/model/", "providers/model/add/",
    "providers/price/", "providers/price/add/", "providers/provider/", "providers/provider/add/",
    "providers/upstream/", "providers/upstream/add/", "",
)  # fmt: skip
SEARCHED = ("accounts/apikey/", "accounts/user/", "orgs/organisation/", "orgs/tier/", "providers/model/",
            "providers/price/", "providers/provider/", "providers/upstream/", "orgs/tierassignment/")  # fmt: skip


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(open_user("operator", "operator@example.test", "a long enough password", operator=True))
    return client


def _post(client: Client, page: str, **fields: Any) -> str:
    """Fill in a form (as the browser would: with what it shows) or an action, and follow to the next page."""
    response = client.post(f"/admin/{page}", fields, follow=True)
    assert response.status_code == 200
    return response.content.decode()


def _filled(client: Client, page: str, **changes: Any) -> dict[str, Any]:
    """What the form of a page would send, with some fields changed."""
    form = client.get(f"/admin/{page}").context["adminform"].form
    data: dict[str, Any] = {}
    for field in form:
        value = field.value()
        if isinstance(value, (list, tuple)) and len(value) == 2 and field.name.endswith("_at"):
            data |= {f"{field.html_name}_0": value[0], f"{field.html_name}_1": value[1]}
        elif field.name == "starts_at":
            data |= {f"{field.html_name}_0": f"{value:%Y-%m-%d}", f"{field.html_name}_1": f"{value:%H:%M:%S}"}
        elif value is not None and value is not False:
            data[field.html_name] = value
    return data | changes


def _confirmed(client: Client, page: str, action: str, rows: Iterable[object]) -> str:
    """Run an action on rows: the first answer asks and changes nothing, the second does it."""
    fields = {"action": action, "_selected_action": [str(row) for row in rows]}
    before = versions()
    asked = _post(client, page, **fields)
    assert "Yes, do it" in asked
    assert versions() == before
    return _post(client, page, **fields, confirmed="yes")


@pytest.mark.parametrize("page", PAGES)
def test_every_page_shows(operator: Client, page: str) -> None:
    acme()
    assert operator.get(f"/admin/{page}").status_code == 200


@pytest.mark.parametrize("page", SEARCHED)
def test_every_list_can_be_searched(operator: Client, page: str) -> None:
    acme()
    assert operator.get(f"/admin/{page}", {"q": "acme"}).status_code == 200


def test_disabling_a_model_asks_and_reaches_the_gateways(operator: Client) -> None:
    acme(2)
    before = versions()[CATALOGUE]
    _confirmed(operator, "providers/model/", "disable", [acme_model().pk])
    assert versions()[CATALOGUE] == before + 1
    assert set(catalogue().models) == {"acme-1"}
    _post(operator, "providers/model/", action="enable", _selected_action=[str(acme_model().pk)])
    assert set(catalogue().models) == {"acme-0", "acme-1"}


@pytest.mark.parametrize("page", ["providers/provider/", "providers/upstream/"])
def test_providers_and_upstreams_are_disabled_alike(operator: Client, page: str) -> None:
    acme()
    row = "acme" if "provider/" in page.removeprefix("providers/") else acme_upstream().pk
    _confirmed(operator, page, "disable", [row])
    shown = catalogue().providers
    assert "acme" not in shown or shown["acme"].upstreams == ()


def test_a_saved_form_reaches_the_gateways(operator: Client) -> None:
    acme()
    page = f"providers/model/{acme_model().pk}/change/"
    before = versions()[CATALOGUE]
    _post(operator, page, **_filled(operator, page, max_output=77))
    assert catalogue().models["acme-0"].max_output == 77
    assert versions()[CATALOGUE] == before + 1


def test_a_new_price_is_filled_in_with_the_present_one_and_follows_it(operator: Client) -> None:
    acme()
    page = f"providers/price/add/?model={acme_model().pk}"
    fields = _filled(operator, page)
    assert (fields["input_price"], fields["output_price"], fields["input_weight"]) == (150_000, 600_000, 1000)
    tomorrow = timezone.now() + timedelta(days=1)  # one transaction has one moment, and the present price has it
    _post(operator, page, **fields | {"input_price": 5, "starts_at_0": f"{tomorrow:%Y-%m-%d}"})
    assert [price.input_price for price in catalogue().models["acme-0"].prices] == [150_000, 5]


def test_a_started_price_can_only_be_read(operator: Client) -> None:
    acme()
    price = Price.objects.get()
    page = f"providers/price/{price.pk}/"
    assert operator.post(f"/admin/{page}change/", {"input_price": 1}).status_code == 403
    assert operator.post(f"/admin/{page}delete/", {"post": "yes"}).status_code == 403
    assert "delete_selected" not in operator.get("/admin/providers/price/").content.decode()
    assert Price.objects.get().input_price == 150_000
    coming = Price(model=acme_model(), starts_at=timezone.now() + timedelta(days=1))
    save_price(coming)
    assert operator.post(f"/admin/providers/price/{coming.pk}/delete/", {"post": "yes"}).status_code == 302
    assert Price.objects.get() == price


def test_a_credential_is_written_and_never_read(operator: Client) -> None:
    acme()
    page = f"providers/upstream/{acme_upstream().pk}/change/"
    sealed = bytes(acme_upstream().sealed_credential or b"")
    _post(operator, page, **_filled(operator, page, deadline_ms=1234))
    assert bytes(acme_upstream().sealed_credential or b"") == sealed, "left empty, it stays"
    _post(operator, page, **_filled(operator, page, new_credential="sk-canary-new"))
    (upstream,) = catalogue().providers["acme"].upstreams
    assert (upstream.credential.reveal(), upstream.deadline_ms) == ("sk-canary-new", 1234)
    for where in (page, "providers/upstream/", page.replace("change", "history")):
        html = operator.get(f"/admin/{where}").content.decode()
        assert "canary" not in html
        assert sealed.hex() not in html
    failing = _post(operator, page, **_filled(operator, page, new_credential=CANARY, base_url="gopher://x"))
    assert "is reached by http" in failing
    assert CANARY not in failing


def test_a_key_is_shown_once_and_its_digest_never(operator: Client) -> None:
    owner = open_user("ada", "ada@example.test", "a long enough password")
    made = _post(operator, "accounts/apikey/add/", name="laptop", owner=str(owner.pk))
    (text,) = set(KEY.findall(made))
    key = ApiKey.objects.get()
    assert principal_of(text).user_id == owner.pk
    for page in ("accounts/apikey/", f"accounts/apikey/{key.pk}/change/", f"accounts/apikey/{key.pk}/history/"):
        html = operator.get(f"/admin/{page}").content.decode()
        assert text[53:85] not in html
        assert key.digest not in made + html


@pytest.mark.parametrize("models", ['"gpt-4o"', '{"gpt-4o": 1}', "[1]", '[""]', "nonsense"])
def test_allowed_models_are_a_list_of_names(operator: Client, models: str) -> None:
    owner = open_user("ada", "ada@example.test", "a long enough password")
    _post(operator, "accounts/apikey/add/", name="laptop", owner=str(owner.pk), allowed_models=models)
    assert not ApiKey.objects.exists()


def test_a_key_is_revoked_after_asking_and_never_deleted(operator: Client) -> None:
    owner = open_user("ada", "ada@example.test", "a long enough password")
    key, text = create_api_key(owner, "laptop")
    before = versions().get(CREDENTIALS, 0)
    _confirmed(operator, "accounts/apikey/", "revoke", [key.pk])
    assert versions().get(CREDENTIALS, 0) == before + 1
    with pytest.raises(InvalidCredential):
        principal_of(text)
    assert operator.post(f"/admin/accounts/apikey/{key.pk}/delete/", {"post": "yes"}).status_code == 403


def test_an_inactive_user_is_refused_at_once(operator: Client) -> None:
    user = open_user("ada", "ada@example.test", "a long enough password")
    _, text = create_api_key(user, "laptop")
    page = f"accounts/user/{user.pk}/change/"
    fields = {name: value for name, value in _filled(operator, page).items() if name not in ("is_active", "password")}
    before = versions().get(CREDENTIALS, 0)
    _post(operator, page, **fields)
    assert not User.objects.get(pk=user.pk).is_active
    assert versions().get(CREDENTIALS, 0) == before + 1
    with pytest.raises(InvalidCredential):
        principal_of(text)


def test_members_are_changed_on_the_organisations_page(operator: Client) -> None:
    user, org = open_user("ada", "ada@example.test", "a long enough password"), open_organisation("e", "Engines")
    join(org, user.pk)
    membership = Membership.objects.get()
    before = versions().get(CREDENTIALS, 0)
    fields = {
        "memberships-TOTAL_FORMS": 1, "memberships-INITIAL_FORMS": 1, "memberships-0-id": membership.pk,
        "memberships-0-org": str(org.pk), "memberships-0-user": str(user.pk), "memberships-0-role": "member",
        "memberships-0-DELETE": "on",
    }  # fmt: skip
    _post(operator, f"orgs/organisation/{org.pk}/change/", name="Engines", slug="e", **fields)
    assert not Membership.objects.exists()
    assert versions().get(CREDENTIALS, 0) > before


def test_organisations_are_suspended_and_reopened(operator: Client) -> None:
    org = open_organisation("e", "Engines")
    _confirmed(operator, "orgs/organisation/", "suspend", [org.pk])
    assert open_organisation("e", "").suspended
    _post(operator, "orgs/organisation/", action="reopen", _selected_action=[str(org.pk)])
    assert not open_organisation("e", "").suspended


def test_tiers_are_changed_assigned_and_made_the_default(operator: Client) -> None:
    before = versions().get(TIERS, 0)
    page = "orgs/tier/USER/change/"
    none = {"allowances-TOTAL_FORMS": 0, "allowances-INITIAL_FORMS": 0}
    _post(operator, page, **_filled(operator, page, bucket_capacity=123), **none)
    assert Tier.objects.get(pk="USER").bucket_capacity == 123
    org = open_organisation("e", "Engines")
    _post(operator, "orgs/tierassignment/add/", payer_kind="org", payer_id=str(org.pk), tier="ADMIN")
    assert tier_of("org", org.pk) == "ADMIN"
    refused = _post(operator, "orgs/tierassignment/add/", payer_kind="user", payer_id=str(org.pk), tier="ADMIN")
    assert "There is no such payer." in refused
    _confirmed(operator, "orgs/tier/", "make_default", ["ADMIN"])
    assert Tier.objects.get(is_default=True).name == "ADMIN"
    assert operator.post("/admin/orgs/tier/ADMIN/delete/", {"post": "yes"}).status_code == 403
    assert versions()[TIERS] == before + 2


def test_staff_do_what_they_were_given_and_no_more(client: Client) -> None:
    acme()
    clerk = open_user("clerk", "clerk@example.test", "a long enough password")
    clerk.is_staff = True
    clerk.save()
    clerk.user_permissions.add(Permission.objects.get(codename="view_model"))
    client.force_login(clerk)
    assert client.get("/admin/providers/model/").status_code == 200
    assert client.get("/admin/providers/price/").status_code == 403
    assert client.get(f"/admin/providers/model/{acme_model().pk}/change/").status_code == 200
    before = versions()
    forged = {"action": "disable", "_selected_action": str(acme_model().pk), "confirmed": "yes"}
    client.post("/admin/providers/model/", forged)
    assert (versions(), Model.objects.get().enabled) == (before, True)
