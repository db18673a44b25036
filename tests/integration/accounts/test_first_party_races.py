"""Many at once: one name is given once, a refresh token works once, and a crowd guesses no more than one does."""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from uuid import uuid4

import pytest
from axes.models import AccessAttempt
from django.db import connections

from apps.accounts import mail
from apps.accounts.api import Visitor, find_user, log_in, refresh, register, reset_password, sign_in
from apps.accounts.models import Session, User
from apps.core.errors import InvalidCredential, LockedOut, Unacceptable

pytestmark = pytest.mark.usefixtures("committed")

HERE = Visitor("203.0.113.7", "tests")
PASSWORD = "password123"
CROWD = 12


def _at_once(action: Callable[[int], object]) -> "Counter[str]":
    """Run ``action`` in a crowd of threads, all let go together; what became of it, counted."""
    barrier = Barrier(CROWD)

    def run(number: int) -> str:
        barrier.wait(10)
        try:
            action(number)
        except (InvalidCredential, LockedOut, Unacceptable) as error:
            return str(error) or type(error).__name__
        finally:
            connections.close_all()
        return "done"

    with ThreadPoolExecutor(CROWD) as pool:
        return Counter(pool.map(run, range(CROWD)))


@pytest.fixture
def name() -> Iterator[str]:
    chosen = f"racer-{uuid4().hex[:12]}"
    yield chosen
    AccessAttempt.objects.filter(username=chosen).delete()
    User.objects.filter(username__startswith=chosen).delete()


@pytest.fixture
def user(name: str) -> str:
    register(name, f"{name}@example.test", PASSWORD, HERE)
    return name


def test_one_name_is_given_once(name: str) -> None:
    ends = _at_once(lambda number: register(name, f"{name}-{number}@example.test", PASSWORD, HERE))
    assert ends == {"done": 1, "username already exists": CROWD - 1}


def test_one_address_is_given_once(name: str) -> None:
    ends = _at_once(lambda number: register(f"{name}-{number}", f"{name}@Example.test", PASSWORD, HERE))
    assert ends == {"done": 1, "email already exists": CROWD - 1}


def test_a_refresh_token_works_once_and_then_ends_the_session(user: str) -> None:
    first = log_in(user, PASSWORD, HERE)
    ends = _at_once(lambda _: refresh(first.refresh))
    assert ends == {"done": 1, "InvalidCredential": CROWD - 1}
    assert Session.objects.get(user=first.user).ended_at is not None


def test_a_crowd_guesses_no_more_than_one_does(user: str) -> None:
    ends = _at_once(lambda number: sign_in(user, f"wrong {number}", HERE))
    assert ends["InvalidCredential"] == 4
    assert AccessAttempt.objects.get(username=user).failures_since_start == 5, "five were looked at, and no more"


def test_a_link_sets_one_password(user: str) -> None:
    token = mail.token_for(mail.RESET, find_user(user))
    ends = _at_once(lambda number: reset_password(token, f"new password {number}", HERE))
    assert ends["done"] == 1


def test_a_first_sign_in_gives_one_role(user: str) -> None:
    owner = find_user(user)
    owner.roles.clear()
    assert _at_once(lambda _: sign_in(user, PASSWORD, HERE)) == {"done": CROWD}
    assert list(owner.roles.values_list("name", flat=True)) == ["USER"]
