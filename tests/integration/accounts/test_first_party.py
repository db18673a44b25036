"""Signing in with a password: who may, what it costs to guess, and that nobody learns who exists."""

from datetime import timedelta

import pytest
from axes.models import AccessAttempt
from django.db.models import F

from apps.accounts.api import Visitor, open_user, sign_in
from apps.accounts.models import User
from apps.core.errors import InvalidCredential, LockedOut

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
    assert AccessAttempt.objects.get().failures_since_start == 5, "what is not looked at is not counted"
    assert sign_in("ada", PASSWORD, ELSEWHERE).pk == ada.pk, "others cannot lock Ada out"
