"""Keys in the database: one error for everything that is not good, and nothing in the rows that opens anything."""

import string
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from itertools import product

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.forms.models import model_to_dict
from pytest_django import DjangoAssertNumQueries, Settings

from apps.accounts import keys
from apps.accounts.api import create_api_key, find_key, find_user, open_user, revoke_api_key
from apps.accounts.models import ApiKey, User
from apps.accounts.services import save_user
from apps.config.api import CREDENTIALS, versions
from apps.core.errors import ConfigurationError, InvalidCredential
from tests.integration.accounts.timing import trimmed, welch

pytestmark = pytest.mark.django_db


@pytest.fixture
def owner() -> User:
    return open_user("ada", "ada@example.test", "a long enough password")


@pytest.fixture
def key(owner: User) -> tuple[ApiKey, str]:
    return create_api_key(owner, "laptop", allowed_models=["gpt-4o-mini"])


def test_a_good_key_is_found(
    owner: User, key: tuple[ApiKey, str], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(3):  # its digest; the key; its owner's roles
        found = find_key(key[1])
    assert (found.id, found.user_id, found.org_id) == (key[0].pk, owner.pk, None)
    assert found.allowed_models == frozenset({"gpt-4o-mini"})


def _unknown(row: ApiKey, text: str) -> str:
    return keys.issue(row.owner_id)


def _wrong_secret(row: ApiKey, text: str) -> str:
    other = keys.issue(row.owner_id)
    forged = text[:53] + other[53:-6]
    return forged + keys.checksum(forged)


def _another_owner(row: ApiKey, text: str) -> str:
    forged = text.replace(str(row.owner_id), "0f8fad5b-d9cb-469f-a165-70867728950e")[:-6]
    return forged + keys.checksum(forged)


def _expired(row: ApiKey, text: str) -> str:
    ApiKey.objects.filter(pk=row.pk).update(expires_at=Now() - timedelta(milliseconds=1))
    return text


def _revoked(row: ApiKey, text: str) -> str:
    assert revoke_api_key(row.pk)
    assert not revoke_api_key(row.pk)
    return text


def _inactive_owner(row: ApiKey, text: str) -> str:
    row.owner.is_active = False
    save_user(row.owner)
    return text


NOT_PROVEN = (_unknown, _wrong_secret, _another_owner)


@pytest.mark.parametrize("spoil", [*NOT_PROVEN, _expired, _revoked, _inactive_owner])
def test_whatever_is_not_good_ends_alike(key: tuple[ApiKey, str], spoil: Callable[[ApiKey, str], str]) -> None:
    presented = spoil(*key)
    with pytest.raises(InvalidCredential) as caught:
        find_key(presented)
    assert (type(caught.value), caught.value.args) == (InvalidCredential, ())


@pytest.mark.parametrize("spoil", NOT_PROVEN)
def test_without_the_secret_all_take_the_same_steps(
    key: tuple[ApiKey, str],
    spoil: Callable[[ApiKey, str], str],
    django_assert_num_queries: DjangoAssertNumQueries,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    presented = spoil(*key)
    hashed: list[str] = []
    digest = keys.digest
    monkeypatch.setattr(keys, "digest", lambda text, pepper: hashed.append(text) or digest(text, pepper))
    with django_assert_num_queries(1), pytest.raises(InvalidCredential):
        find_key(presented)
    assert hashed == [presented]


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_without_the_secret_all_take_the_same_time(key: tuple[ApiKey, str]) -> None:
    row, text = key
    taken: dict[str, list[float]] = {"unknown": [], "wrong": []}
    for number in range(SAMPLES):
        presented = {"unknown": _unknown(row, text), "wrong": _wrong_secret(row, text)}
        for name in sorted(presented, reverse=bool(number % 2)):  # Neither always follows the other.
            taken[name].append(_seconds(presented[name]))
    score = welch(trimmed(taken["unknown"]), trimmed(taken["wrong"]))
    assert abs(score) < 4.5, score


SAMPLES = 20_000


def _seconds(presented: str) -> float:
    begin = time.perf_counter()
    with suppress(InvalidCredential):
        find_key(presented)
    return time.perf_counter() - begin


def test_junk_asks_no_store(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    with django_assert_num_queries(0), pytest.raises(InvalidCredential):
        find_key("leaky_junk")


def test_every_typo_of_one_character_is_found_without_a_store(
    key: tuple[ApiKey, str], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    text = key[1]
    typos = 0
    with django_assert_num_queries(0):
        for place, wrong in product(range(len(text)), string.printable):
            if wrong != text[place]:
                typos += 1
                with pytest.raises(InvalidCredential):
                    find_key(text[:place] + wrong + text[place + 1 :])
    assert typos == len(text) * (len(string.printable) - 1)


def test_the_row_holds_nothing_of_the_secret(key: tuple[ApiKey, str], settings: Settings) -> None:
    row, text = key
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_jsonb(k)::text FROM accounts_apikey k WHERE id = %s", [row.pk])
        stored = cursor.fetchone()[0]
    secret = text[53:85]
    assert all(secret[start : start + 6] not in stored for start in range(len(secret) - 5))
    assert secret not in f"{row!r} {row} {row.display_prefix} {model_to_dict(row)}"
    settings.KEY_PEPPER = "another pepper"
    with pytest.raises(InvalidCredential):
        find_key(text)
    settings.KEY_PEPPER = ""
    with pytest.raises(ConfigurationError):
        find_key(text)


def test_a_user_is_opened_once_and_mended_when_they_differ(owner: User) -> None:
    before = versions().get(CREDENTIALS, 0)
    assert open_user("ada", "ada@example.test", "a long enough password").pk == owner.pk
    assert versions().get(CREDENTIALS, 0) == before, "nothing differed, so nothing was written"
    mended = open_user("ada", "ada@example.test", "another long password", operator=True)
    assert (mended.pk, mended.is_superuser, mended.is_staff) == (owner.pk, True, True)
    assert mended.check_password("another long password")


def test_users_are_found_by_name_address_or_id(owner: User) -> None:
    assert {find_user(name).pk for name in ("ada", "ADA@example.test", str(owner.pk))} == {owner.pk}
    with pytest.raises(LookupError):
        find_user("nobody")
