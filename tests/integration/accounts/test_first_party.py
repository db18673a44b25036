"""Signing in with a password: who may, what it costs to guess, and that nobody learns who exists."""

import time
from datetime import timedelta

import pytest
from axes.models import AccessAttempt
from django.contrib.auth import hashers
from django.db import connection
from django.db.models import F
from pytest_django import Settings

from apps.accounts.api import Visitor, open_user, sign_in
from apps.accounts.models import User
from apps.core.errors import InvalidCredential, LockedOut
from tests.integration.accounts.timing import trimmed, welch

pytestmark = pytest.mark.django_db

HERE = Visitor("203.0.113.7", "tests")
ELSEWHERE = Visitor("203.0.113.8", "tests")
PASSWORD = "password123"


@pytest.fixture
def ada() -> User:
    return open_user("ada", "ada@example.test", PASSWORD)


def _fail(name: str, visitor: Visitor = HERE) -> type[Exception]:
    with pytest.raises((InvalidCredential, LockedOut)) as caught:
        sign_in(name, "a wrong password", visitor)
    return caught.type


def _pass_time(seconds: int) -> None:
    AccessAttempt.objects.update(attempt_time=F("attempt_time") - timedelta(seconds=seconds))


def test_the_first_sign_in_gives_the_role_that_everybody_has(ada: User) -> None:
    assert sign_in("ada", PASSWORD, HERE).pk == ada.pk
    assert list(ada.roles.values_list("name", flat=True)) == ["USER"]


def test_after_five_wrong_passwords_not_even_the_right_one_is_looked_at(ada: User) -> None:
    assert [_fail("ada") for _ in range(7)] == [InvalidCredential] * 4 + [LockedOut] * 3
    with pytest.raises(LockedOut) as caught:
        sign_in("ada", PASSWORD, HERE)
    assert 50 <= caught.value.wait_seconds <= 60
    assert AccessAttempt.objects.get(username="ada").failures_since_start == 5, "what is not looked at is not counted"
    assert sign_in("ada", PASSWORD, ELSEWHERE).pk == ada.pk, "others cannot lock Ada out"


def test_locks_grow_and_are_forgotten(ada: User) -> None:
    waits = []
    for _ in range(9):
        while _fail("ada") is InvalidCredential:
            continue
        with pytest.raises(LockedOut) as caught:
            sign_in("ada", "a wrong password", HERE)
        waits.append(round(caught.value.wait_seconds / 60))
        _pass_time(caught.value.wait_seconds + 1)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert sign_in("ada", PASSWORD, HERE).pk == ada.pk
    assert not AccessAttempt.objects.filter(username="ada").exists(), "the right one ends it"


def test_one_password_tried_on_many_names_locks_the_address(ada: User, settings: Settings) -> None:
    settings.SIGN_IN_FAILURES_PER_ADDRESS = 20
    names = [f"name{number}" for number in range(25)]
    assert [_fail(name) for name in names] == [InvalidCredential] * 19 + [LockedOut] * 6
    with pytest.raises(LockedOut) as caught:
        sign_in("ada", PASSWORD, HERE)
    assert 890 <= caught.value.wait_seconds <= 900
    assert AccessAttempt.objects.count() == 20, "what is not looked at is not counted, so the lock ends"
    assert sign_in("ada", PASSWORD, ELSEWHERE).pk == ada.pk, "others go on"
    _pass_time(901)
    assert sign_in("ada", PASSWORD, HERE).pk == ada.pk


def test_an_account_of_ones_own_does_not_open_a_locked_address(ada: User, settings: Settings) -> None:
    settings.SIGN_IN_FAILURES_PER_ADDRESS = 20
    outcomes: list[type[Exception]] = []
    for number in range(20):
        outcomes.append(_fail(f"name{number}"))
        if outcomes[-1] is InvalidCredential:
            assert sign_in("ada", PASSWORD, HERE).pk == ada.pk
    assert outcomes == [InvalidCredential] * 19 + [LockedOut]


def test_failures_are_forgotten_after_a_day(ada: User) -> None:
    assert [_fail("ada") for _ in range(4)] == [InvalidCredential] * 4
    _pass_time(24 * 3600 + 1)
    assert _fail("ada") is InvalidCredential
    assert AccessAttempt.objects.get(username="ada").failures_since_start == 1


def test_what_is_written_down_of_a_failure_holds_no_password(ada: User) -> None:
    _fail("ada")
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_jsonb(a)::text FROM axes_accessattempt a WHERE username = 'ada'")
        assert "a wrong password" not in cursor.fetchone()[0]


WAYS = {"nobody": "unknown", "ada": "a wrong password", "gone": PASSWORD, "robot": PASSWORD, "keyless": PASSWORD}


@pytest.fixture
def all_kinds(ada: User) -> None:
    open_user("gone", "gone@example.test", PASSWORD)
    User.objects.filter(username="gone").update(is_active=False)
    open_user("robot", "robot@example.test", PASSWORD)
    User.objects.filter(username="robot").update(kind=User.Kind.SERVICE)
    keyless = User.objects.create(username="keyless", email="keyless@example.test")
    keyless.set_unusable_password()
    keyless.save()


class CountingHasher(hashers.MD5PasswordHasher):
    """A hasher that counts how often it works."""

    runs = 0

    def encode(self, password: str, salt: str) -> str:
        type(self).runs += 1
        return str(super().encode(password, salt))


@pytest.mark.parametrize("name", WAYS)
def test_every_failure_hashes_once(all_kinds: None, settings: Settings, name: str) -> None:
    settings.PASSWORD_HASHERS = [f"{__name__}.CountingHasher"]
    CountingHasher.runs = 0
    with pytest.raises(InvalidCredential):
        sign_in(name, WAYS[name], HERE)
    assert CountingHasher.runs == 1


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_every_failure_takes_the_same_time(ada: User, settings: Settings) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
    settings.AXES_FAILURE_LIMIT = settings.SIGN_IN_FAILURES_PER_ADDRESS = 10**6
    ada.set_password(PASSWORD)
    ada.save()
    open_user("gone", "gone@example.test", PASSWORD)
    User.objects.filter(username="gone").update(is_active=False)
    tries = {"nobody": "unknown", "ada": "a wrong password", "gone": PASSWORD}
    taken: dict[str, list[float]] = {name: [] for name in tries}
    for _ in range(SAMPLES):
        for name, password in tries.items():
            taken[name].append(_seconds(name, password))
    scores = {name: welch(trimmed(taken["ada"]), trimmed(taken[name])) for name in ("nobody", "gone")}
    assert all(abs(score) < 4.5 for score in scores.values()), scores


SAMPLES = 200


def _seconds(name: str, password: str) -> float:
    begin = time.perf_counter()
    with pytest.raises(InvalidCredential):
        sign_in(name, password, HERE)
    return time.perf_counter() - begin
