"""Clients: registered by operators in the console, or by the demo's seed; every change leaves its trace."""

from pathlib import Path
from uuid import UUID

import pytest
from django.contrib.auth.hashers import check_password
from django.core.management import call_command
from django.test import Client
from django.urls import include, path
from django.utils import timezone
from pytest_django import Settings

from apps.accounts.api import published_keys, trust, verify_access_token
from apps.accounts.models import Application, User
from apps.accounts.oauth.clients import create_client, delete_client, rotate_secret, save_client
from apps.audit.models import Entry
from apps.orgs.api import principal_of
from apps.orgs.models import Organisation
from leaky_tokens.urls import handler404, handler500
from tests.integration.console.urls import urlpatterns as console
from tests.integration.oauth.conftest import BACKEND, CALLBACK

__all__ = ["handler404", "handler500", "urlpatterns"]

urlpatterns = [*console, path("", include("apps.accounts.oauth.urls"))]
pytestmark = pytest.mark.django_db
PAGE = "/admin/accounts/application/"


@pytest.fixture
def operator(settings: Settings) -> Client:
    settings.ROOT_URLCONF = __name__
    browser = Client()
    user = User.objects.create_superuser("op", "op@example.test", "a long enough password")
    browser.force_login(user, backend=BACKEND)
    return browser


def _form(**changes: object) -> dict[str, object]:
    return {
        "name": "Shop", "client_id": "shop", "client_type": "confidential",
        "authorization_grant_type": "authorization-code", "redirect_uris": CALLBACK, "post_logout_redirect_uris": "",
        "allowed_origins": "", "allowed_scopes": ["inference"], "user": "", "org_id": "",
    } | changes  # fmt: skip


def _last() -> Entry:
    return Entry.objects.order_by("-at", "-id")[0]


def test_operator_registers_a_client_and_sees_the_secret_once(operator: Client) -> None:
    page = operator.post(f"{PAGE}add/", _form(), follow=True)
    shown = page.content.decode()
    client = Application.objects.get(client_id="shop")
    assert "cannot be shown again" in shown
    secret = shown.split('<span class="identifier">')[1].split("<")[0]
    assert check_password(secret, client.client_secret)
    assert client.client_secret.startswith("client_secret$1000$")
    for address in (PAGE, f"{PAGE}{client.pk}/change/"):
        again = operator.get(address).content.decode()
        assert secret not in again
        assert client.client_secret not in again
    entry = Entry.objects.get(action="client.created", subject_id="shop")
    assert secret not in str(entry.after)
    assert entry.after["allowed_scopes"] == ["inference"]


@pytest.mark.parametrize(
    "changes",
    [
        {"redirect_uris": "http://shop.example/callback"},
        {"redirect_uris": "https://*.example/callback"},
        {"redirect_uris": ""},
        {"post_logout_redirect_uris": "http://shop.example/"},
        {"authorization_grant_type": "client-credentials"},
        {"authorization_grant_type": "password"},
        {"allowed_scopes": ["root"]},
    ],
)
def test_operator_cannot_register_what_is_unsafe(operator: Client, changes: dict[str, object]) -> None:
    page = operator.post(f"{PAGE}add/", _form(**changes))
    assert page.status_code == 200
    assert not Application.objects.filter(client_id="shop").exists()


def test_operator_rotates_a_secret_after_being_asked(operator: Client) -> None:
    operator.post(f"{PAGE}add/", _form())
    client = Application.objects.get(client_id="shop")
    chosen = {"action": "rotate_secret", "_selected_action": [str(client.pk)]}
    assert b"refused from now on" in operator.post(PAGE, chosen).content
    assert Application.objects.get(client_id="shop").client_secret == client.client_secret
    shown = operator.post(PAGE, chosen | {"confirmed": "yes"}, follow=True).content.decode()
    secret = shown.split('<span class="identifier">')[1].split("<")[0]
    assert check_password(secret, Application.objects.get(client_id="shop").client_secret)
    assert Entry.objects.filter(action="client.secret_rotated", subject_id="shop").count() == 1


def test_operator_finds_changes_and_deletes_a_client(operator: Client) -> None:
    operator.post(f"{PAGE}add/", _form())
    client = Application.objects.get(client_id="shop")
    assert b"Shop" in operator.get(PAGE, {"q": "shop"}).content
    assert b"Shop" not in operator.get(PAGE, {"q": "nothing like it"}).content
    page = operator.post(f"{PAGE}{client.pk}/change/", _form(allowed_scopes=["inference", "tokens:read"]))
    assert page.status_code == 302
    changed = Application.objects.get(client_id="shop")
    assert (changed.allowed_scopes, changed.client_secret) == (["inference", "tokens:read"], client.client_secret)
    assert operator.post(f"{PAGE}{client.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not Application.objects.filter(client_id="shop").exists()
    assert list(Entry.objects.filter(subject_id="shop").order_by("at").values_list("action", flat=True)) == [
        "client.created", "client.changed", "client.deleted",
    ]  # fmt: skip


def test_library_pages_of_tokens_are_gone(operator: Client) -> None:
    for name in ("accesstoken", "refreshtoken", "idtoken", "grant", "devicegrant"):
        assert operator.get(f"/admin/oauth2_provider/{name}/").status_code == 404


def test_services_leave_a_trace() -> None:
    client = Application(
        client_id="shop", name="Shop", client_type="confidential", redirect_uris=CALLBACK,
        authorization_grant_type="authorization-code",
    )  # fmt: skip
    create_client(client)
    client.name = "Shop 2"
    save_client(client)
    assert (_last().before, _last().after) == ({"name": "Shop"}, {"name": "Shop 2"})
    digest = client.client_secret
    assert rotate_secret(client)
    assert client.client_secret != digest
    delete_client(client)
    assert (_last().action, _last().subject_id, _last().after) == ("client.deleted", "shop", None)


def test_demo_client_pays_from_the_demo_organisation(operator: Client, tmp_path: Path) -> None:
    seeded = {"credentials": tmp_path / "demo.json", "stub_url": "http://127.0.0.1:8093", "verbosity": 0}
    call_command("seed_demo", **seeded)
    told = operator.post(
        "/oauth2/token", "grant_type=client_credentials&scope=inference+tokens.read",
        content_type="application/x-www-form-urlencoded",
        headers={"Authorization": "Basic bGVha3ktY2xpZW50OmxlYWt5LXNlY3JldA=="},
    ).json()  # fmt: skip
    claims = verify_access_token(told["access_token"], published_keys(), trust(), timezone.now())
    principal = principal_of(claims)
    assert principal.payer_id == Organisation.objects.get(slug="demo").pk
    account = User.objects.get(username="leaky-client")
    assert (account.kind, account.has_usable_password()) == (User.Kind.SERVICE, False)
    assert isinstance(account.pk, UUID)
    before = Application.objects.get(client_id="leaky-client").client_secret
    call_command("seed_demo", **seeded)
    assert Application.objects.get(client_id="leaky-client").client_secret == before
