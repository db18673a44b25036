"""A key that signs tokens is taken away when it has leaked, and is sealed anew; the trail tells of both."""

import base64
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from pytest_django import Settings

from apps.accounts import signing
from apps.accounts.api import open_user, published_keys, rotate_if_old, rotate_signing_key, withdraw_signing_key
from apps.accounts.models import SigningKey
from apps.audit.models import Entry
from apps.config.api import SIGNING_KEYS, versions
from apps.core.errors import InvalidCredential, NotFound
from apps.core.sealing import key_id_of
from tests.integration.accounts.through_gateway import call, found

pytestmark = [pytest.mark.django_db, pytest.mark.urls("apps.accounts.rest.urls")]

NOW = timedelta(0)
DAY = timedelta(days=1)
PASSWORD = "password123"


@pytest.fixture(autouse=True)
def first() -> str:
    """The id of the only key, which has signed for ten days."""
    SigningKey.objects.all().delete()
    kid, _begins = rotate_signing_key(lead=-10 * DAY)
    return kid


@pytest.fixture
def token(settings: Settings) -> str:
    settings.SERVICES = ["auth"]
    open_user("ada", "ada@example.test", PASSWORD)
    return login()


def login() -> str:
    return str(call("POST", "/login", {"username": "ada", "password": PASSWORD}).json["token"])


def told(action: str) -> list[tuple[str, Any]]:
    """Which keys the trail says this of, and what each is since."""
    entries = Entry.objects.filter(action=action, subject_kind="signing_key").order_by("id")
    return list(entries.values_list("subject_id", "after"))


def present() -> str | None:
    return signing.signing_key().kid


def test_the_key_that_signs_is_withdrawn_and_the_next_signs_at_once(first: str, token: str) -> None:
    before = versions()[SIGNING_KEYS]
    assert found(token)

    call_command("rotate_signing_keys", "--withdraw", first, stdout=(said := StringIO()))

    assert said.getvalue() == f"{first} is withdrawn; {present()} signs\n"
    assert set(published_keys()) == {present()} != {first}
    assert {jwk["kid"] for jwk in signing.published_jwks()} == {present()}
    with pytest.raises(InvalidCredential):
        found(token)
    assert found(login())
    assert versions()[SIGNING_KEYS] > before, "gateways are told"


def test_an_older_key_never_takes_over_nor_comes_back(first: str) -> None:
    second, _begins = rotate_signing_key(lead=-5 * DAY)
    assert set(published_keys()) == {second}, "the first is out of use"

    third = withdraw_signing_key(second)

    assert third not in {first, second}
    assert (set(published_keys()), present()) == ({third}, third)


def test_the_key_before_stays_for_as_long_as_it_would_have(first: str) -> None:
    second, _begins = rotate_signing_key(lead=NOW)
    until = published_keys()[first].until

    third = withdraw_signing_key(second)

    assert set(published_keys()) == {first, third}
    assert published_keys()[first].until == until


def test_a_key_that_does_not_sign_yet_is_withdrawn_without_another(first: str) -> None:
    planned, _begins = rotate_signing_key(lead=DAY)

    assert withdraw_signing_key(planned) == first
    assert (set(published_keys()), present()) == ({first}, first)
    assert published_keys()[first].until is None, "nothing follows it now"
    assert not rotate_if_old()
    SigningKey.objects.filter(kid=first).update(activates_at=timezone.now() - 100 * DAY)
    assert rotate_if_old(), "a withdrawn key makes nobody young"


def test_a_key_before_is_withdrawn_while_the_present_one_goes_on(first: str) -> None:
    second, _begins = rotate_signing_key(lead=NOW)

    assert withdraw_signing_key(first) == second
    assert (set(published_keys()), present()) == ({second}, second)


def test_there_is_nothing_to_withdraw_twice(first: str) -> None:
    withdraw_signing_key(first)
    with pytest.raises(NotFound):
        withdraw_signing_key(first)
    with pytest.raises(CommandError, match="no signing key nonsense"):
        call_command("rotate_signing_keys", "--withdraw", "nonsense")
    assert len(told("signing_key.withdrawn")) == 1


def test_the_trail_tells_when_keys_were_made_and_withdrawn(first: str) -> None:
    second = withdraw_signing_key(first)

    created = [kid for kid, _after in told("signing_key.created")]
    assert created[-2:] == [first, second]
    kid, after = told("signing_key.withdrawn")[-1]
    assert kid == first
    assert after["withdrawn_at"]
    words = str(list(Entry.objects.filter(subject_kind="signing_key").values_list("before", "after")))
    assert "sealed" not in words
    assert "jwk" not in words


def test_keys_that_sign_now_or_later_are_sealed_anew(first: str, settings: Settings) -> None:
    second, _begins = rotate_signing_key(lead=NOW)
    planned, _begins = rotate_signing_key(lead=DAY)
    settings.CREDENTIAL_KEYS = ["t2:" + base64.b64encode(b"2" * 32).decode(), *settings.CREDENTIAL_KEYS]

    said = StringIO()
    call_command("reencrypt_credentials", stdout=said)
    call_command("reencrypt_credentials", stdout=said)

    assert said.getvalue().splitlines() == [
        "0 credentials and 2 signing keys sealed anew", "0 credentials and 0 signing keys sealed anew",
    ]  # fmt: skip
    sealed = {row.kid: key_id_of(bytes(row.sealed_private)) for row in SigningKey.objects.all()}
    assert sealed == {first: "t1", second: "t2", planned: "t2"}
    assert sorted(told("signing_key.resealed")) == sorted((kid, {"sealed_with": "t2"}) for kid in (second, planned))


def test_the_old_sealing_key_may_go_at_once(token: str, settings: Settings) -> None:
    settings.CREDENTIAL_KEYS = ["t2:" + base64.b64encode(b"2" * 32).decode(), *settings.CREDENTIAL_KEYS]
    call_command("reencrypt_credentials", stdout=StringIO())
    settings.CREDENTIAL_KEYS = settings.CREDENTIAL_KEYS[:1]

    assert found(token)
    assert found(login())
