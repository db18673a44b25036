"""Every change that an operator makes to the catalogue or an account leaves an entry: who, from where, what, why."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from asgiref.sync import async_to_sync
from django.core.management import call_command
from django.test import AsyncClient, Client
from django.utils import timezone

from apps.accounts.api import open_user
from apps.accounts.models import User
from apps.audit.api import Entry
from apps.core.acting import NOBODY, OPERATOR, acting, actor
from apps.outbox.models import OutboxEvent
from apps.providers import services
from apps.providers.models import Price, Provider, Upstream
from apps.quotas.api import balances_of, grant, reopen, suspend
from leaky_tokens.command_line import actor_of
from tests.integration.providers.catalogue_rows import CANARY, acme, acme_model, acme_upstream
from tests.integration.quotas.payers import funded_account

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.integration.console.urls")]

PASSWORD = "a long enough password"
Change = tuple[str, dict[str, Any] | None, dict[str, Any] | None]


@pytest.fixture
def user() -> User:
    return open_user("operator", "operator@example.test", PASSWORD, operator=True)


@pytest.fixture
def operator(client: Client, user: User) -> Iterator[Client]:
    """Signed in; whatever a request did, its actor does not outlive it."""
    client.force_login(user)
    yield client
    assert actor() == NOBODY


def _new(seen: set[Any]) -> list[Change]:
    found = Entry.objects.exclude(pk__in=seen).order_by("at", "id")
    return [(entry.action, entry.before, entry.after) for entry in found]


def _seen() -> set[Any]:
    return set(Entry.objects.values_list("pk", flat=True))


def _act(client: Client, page: str, action: str, row: object, reason: str = "") -> None:
    fields = {"action": action, "_selected_action": [str(row)], "confirmed": "yes", "reason": reason}
    assert client.post(f"/admin/{page}/", fields).status_code == 302


def _save(client: Client, page: str, **changes: Any) -> None:
    """Send a page's form as it is shown, with some fields changed."""
    form = client.get(f"/admin/{page}/").context["adminform"].form
    values = {field.html_name: field.value() for field in form}
    shown = {name: value for name, value in values.items() if value is not None and value is not False}
    answer = client.post(f"/admin/{page}/", shown | changes)
    assert answer.status_code == 302, answer.content.decode()


@pytest.mark.parametrize("page", ["provider", "upstream", "model"])
def test_switching_off_and_on(operator: Client, user: User, page: str) -> None:
    acme()
    row = {"provider": "acme", "upstream": acme_upstream().pk, "model": acme_model().pk}[page]
    seen = _seen()
    _act(operator, f"providers/{page}", "disable", row, reason="it answers nonsense")
    _act(operator, f"providers/{page}", "enable", row)
    assert _new(seen) == [
        (f"{page}.disabled", {"enabled": True}, {"enabled": False}),
        (f"{page}.enabled", {"enabled": False}, {"enabled": True}),
    ]
    entry = Entry.objects.get(action=f"{page}.disabled")
    assert (entry.actor_kind, entry.actor_id, entry.actor_name) == (OPERATOR, str(user.pk), "operator")
    assert (entry.ip, entry.reason, entry.subject_id) == ("127.0.0.1", "it answers nonsense", str(row))
    assert entry.request_id.startswith("req_")
    assert OutboxEvent.objects.filter(id=entry.pk, type="audit-events").exists()


def test_what_is_so_already_leaves_nothing(operator: Client) -> None:
    acme()
    seen = _seen()
    _act(operator, "providers/model", "enable", acme_model().pk)
    _save(operator, f"providers/model/{acme_model().pk}/change")
    assert _new(seen) == []


def test_a_saved_form_says_what_differs_and_why(operator: Client) -> None:
    acme()
    seen = _seen()
    _save(operator, f"providers/model/{acme_model().pk}/change", max_output=77, reason="  as\x00 announced ")
    _save(operator, "providers/provider/acme/change", name="Acme Inc.")
    assert _new(seen) == [
        ("model.changed", {"max_output": 16_384}, {"max_output": 77}),
        ("provider.changed", {"name": "Acme"}, {"name": "Acme Inc."}),
    ]
    assert [entry.reason for entry in Entry.objects.exclude(pk__in=seen).order_by("at")] == ["as announced", ""]


def test_an_upstreams_credential_is_said_to_be_replaced_and_never_told(operator: Client) -> None:
    acme()
    seen = _seen()
    page = f"providers/upstream/{acme_upstream().pk}/change"
    _save(operator, page, deadline_ms=1234, new_credential="sk-canary-new")
    assert _new(seen) == [
        ("upstream.changed", {"deadline_ms": 600_000}, {"deadline_ms": 1234}),
        ("upstream.credential_replaced", {"credential": "set"}, {"credential": "replaced"}),
    ]
    sealed = bytes(acme_upstream().sealed_credential or b"").hex()
    for row in (*Entry.objects.values(), *OutboxEvent.objects.values()):
        assert not any(secret in str(row) for secret in (CANARY, "sk-canary-new", sealed))


def test_making_and_deleting(operator: Client) -> None:
    _save(operator, "providers/provider/add", slug="acme", name="Acme", allowed_parameters='["*"]')
    operator.post("/admin/providers/provider/acme/delete/", {"post": "yes", "reason": "a mistake"})
    made, deleted = Entry.objects.filter(subject_kind="provider").order_by("at", "id")
    state = {"slug": "acme", "name": "Acme", "dialect": "openai", "enabled": True, "allowed_parameters": ["*"]}
    assert (made.action, made.before, made.after) == ("provider.created", None, state)
    assert (deleted.action, deleted.before, deleted.after) == ("provider.deleted", state, None)
    assert (deleted.subject_id, deleted.reason) == ("acme", "a mistake")


def test_deleting_several_at_once(operator: Client) -> None:
    for slug in ("one", "two"):
        services.save(Provider(slug=slug, name=slug, allowed_parameters=["*"]))
    fields = {"action": "delete_selected", "_selected_action": ["one", "two"], "post": "yes", "reason": "unused"}
    operator.post("/admin/providers/provider/", fields)
    deleted = Entry.objects.filter(action="provider.deleted")
    assert {(entry.subject_id, entry.reason) for entry in deleted} == {("one", "unused"), ("two", "unused")}


def test_prices_are_added_changed_and_withdrawn(operator: Client) -> None:
    acme()
    tomorrow = timezone.now().replace(microsecond=0) + timedelta(days=1)
    seen = _seen()
    coming = Price(model=acme_model(), starts_at=tomorrow, input_price=5)
    services.save_price(coming)
    form = {"starts_at_0": f"{tomorrow:%Y-%m-%d}", "starts_at_1": f"{tomorrow:%H:%M:%S}", "input_price": 6}
    _save(operator, f"providers/price/{coming.pk}/change", **form)
    operator.post(f"/admin/providers/price/{coming.pk}/delete/", {"post": "yes"})
    (added, changed, withdrawn) = _new(seen)
    assert (added[0], added[1]) == ("price.added", None)
    assert added[2] is not None
    assert added[2].items() >= {"model": str(acme_model().pk), "input_price": 5, "input_weight": 1000}.items()
    assert changed == ("price.changed", {"input_price": 5}, {"input_price": 6})
    assert withdrawn == ("price.withdrawn", added[2] | {"input_price": 6}, None)


def test_resealing_credentials_names_the_keys_only(settings: Any) -> None:
    acme()
    settings.CREDENTIAL_KEYS = ["t2:OTg3NjU0MzIxMDk4NzY1NDMyMTA5ODc2NTQzMjEwOTg=", *settings.CREDENTIAL_KEYS]
    seen = _seen()
    call_command("reencrypt_credentials", verbosity=0)
    changes = [change for change in _new(seen) if change[0] != "signing_key.resealed"]
    assert changes == [("upstream.credential_resealed", {"sealed_with": "t1"}, {"sealed_with": "t2"})]


def test_accounts_are_suspended_and_reopened_with_a_reason(operator: Client) -> None:
    account = funded_account(100)
    seen = _seen()
    _act(operator, "quotas/account", "suspend", account, reason="chargeback")
    _act(operator, "quotas/account", "suspend", account)
    _act(operator, "quotas/account", "reopen", account)
    assert _new(seen) == [
        ("account.suspended", {"suspended": False}, {"suspended": True}),
        ("account.reopened", {"suspended": True}, {"suspended": False}),
    ]
    entry = Entry.objects.get(action="account.suspended")
    assert (entry.subject_kind, entry.subject_id, entry.reason) == ("account", str(account), "chargeback")


def test_a_grant_is_recorded_once_for_the_organisation_that_gets_it() -> None:
    org, grant_id = uuid4(), uuid4()
    seen = _seen()
    for _ in range(2):
        grant(
            payer_kind="org", payer_id=org, provider="openai", tokens=500, grant_id=grant_id, reason="trial",
            actor="tests",
        )  # fmt: skip
    after = {"granted": 500, "tokens": 500, "grant_id": str(grant_id), "provider": "openai"}
    assert _new(seen) == [("account.granted", {"granted": 0}, after)]
    entry = Entry.objects.get(action="account.granted", org_id=org)
    assert (entry.reason, entry.actor_kind) == ("trial", "system")


def test_a_command_acts_for_whoever_runs_it() -> None:
    org = uuid4()
    arguments = ["grant_tokens", "--org", str(org), "--provider", "openai", "--tokens", "5", "--reason", "trial"]
    with acting(actor_of(["manage.py", *arguments])):
        call_command(*arguments, verbosity=0)
    entry = Entry.objects.get(org_id=org)
    assert (entry.actor_kind, entry.actor_name, entry.reason) == (OPERATOR, "manage.py grant_tokens", "trial")
    assert entry.actor_id != ""
    assert balances_of("org", org)[0].granted == 5


def test_no_account_no_entry() -> None:
    seen = _seen()
    suspend(uuid4())
    reopen(uuid4())
    assert _new(seen) == []


def test_signing_in_and_out_of_the_console(client: Client, user: User) -> None:
    client.post("/admin/login/", {"username": "operator", "password": "wrong"})
    assert not Entry.objects.filter(subject_id=str(user.pk), action__startswith="console_session").exists()
    client.post("/admin/login/", {"username": "operator", "password": PASSWORD})
    client.get("/admin/")
    client.post("/admin/logout/")
    entries = Entry.objects.filter(subject_id=str(user.pk), action__startswith="console_session").order_by("at")
    assert [entry.action for entry in entries] == ["console_session.opened", "console_session.closed"]
    assert {(entry.actor_id, entry.ip) for entry in entries} == {(str(user.pk), "127.0.0.1")}


def test_the_actor_is_known_under_asgi_too(async_client: AsyncClient, user: User) -> None:
    async_client.force_login(user)
    fields = {"slug": "acme", "name": "Acme", "dialect": "openai", "allowed_parameters": '["*"]', "reason": "new"}
    answer = async_to_sync(async_client.post)("/admin/providers/provider/add/", fields)
    assert answer.status_code == 302
    entry = Entry.objects.get(action="provider.created", subject_id="acme")
    assert (entry.actor_id, entry.reason) == (str(user.pk), "new")
    assert actor() == NOBODY


def test_upstreams_made_with_a_credential_say_so() -> None:
    acme()
    entries = Entry.objects.filter(subject_id=str(acme_upstream().pk)).order_by("at", "id")
    assert {entry.action for entry in entries} == {"upstream.created", "upstream.credential_replaced"}
    assert entries.get(action="upstream.credential_replaced").before == {"credential": "not set"}
    assert Upstream.objects.count() == 1
