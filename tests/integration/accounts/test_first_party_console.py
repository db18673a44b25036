"""What operators do with users, roles and locks in the console."""

from typing import Any

import pytest
from axes.models import AccessAttempt
from django.test import Client

from apps.accounts.api import Visitor, log_in, open_user, sign_in
from apps.accounts.models import Role, Session, User
from apps.audit.models import Entry
from apps.core.errors import InvalidCredential, LockedOut
from tests.integration.accounts.through_gateway import found

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.integration.console.urls")]

HERE = Visitor("203.0.113.7", "tests")
PASSWORD = "password123"


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(open_user("operator", "operator@example.test", PASSWORD, operator=True))
    return client


@pytest.fixture
def ada() -> User:
    return open_user("ada", "ada@example.test", PASSWORD)


def _form(ada: User, **changes: Any) -> dict[str, Any]:
    """The user's page as a browser would send it."""
    roles = [str(role.pk) for role in ada.roles.all()]
    form = {"username": "ada", "email": ada.email, "kind": "person", "roles": roles, "is_active": "on"}
    return {name: value for name, value in (form | changes).items() if value is not None}


def _dead(token: str) -> bool:
    try:
        found(token)
    except InvalidCredential:
        return True
    return False


@pytest.mark.parametrize("page", ["accounts/user/", "accounts/role/", "accounts/role/add/", "axes/accessattempt/"])
def test_every_page_shows(operator: Client, page: str) -> None:
    with pytest.raises(InvalidCredential):
        sign_in("ada", "a wrong password", HERE)
    answer = operator.get(f"/admin/{page}")
    assert answer.status_code == 200
    assert "a wrong password" not in answer.content.decode()


def test_a_users_page_shows_where_they_are_signed_in(operator: Client, ada: User) -> None:
    log_in("ada", PASSWORD, HERE)
    page = operator.get(f"/admin/accounts/user/{ada.pk}/change/").content.decode()
    assert f"/admin/accounts/session/?q={ada.pk}" in page
    assert ada.password not in page
    assert "203.0.113.7" in operator.get(f"/admin/accounts/session/?q={ada.pk}").content.decode()


def test_deactivating_signs_out(operator: Client, ada: User) -> None:
    token = log_in("ada", PASSWORD, HERE).access
    answer = operator.post(f"/admin/accounts/user/{ada.pk}/change/", _form(ada, is_active=None))
    assert answer.status_code == 302, answer.context["errors"]
    assert _dead(token)
    changed = Entry.objects.get(action="user.changed", subject_id=str(ada.pk), after={"is_active": False})
    assert changed.before == {"is_active": True}


def test_other_roles_end_tokens(operator: Client, ada: User) -> None:
    token = log_in("ada", PASSWORD, HERE).access
    admin = Role.objects.get(name="ADMIN")
    unchanged = operator.post(f"/admin/accounts/user/{ada.pk}/change/", _form(ada))
    assert (unchanged.status_code, _dead(token)) == (302, False)
    operator.post(f"/admin/accounts/user/{ada.pk}/change/", _form(ada, roles=[str(admin.pk)]))
    assert _dead(token)
    assert log_in("ada", PASSWORD, HERE).roles == ("ADMIN",)


def test_a_new_password_signs_out(operator: Client, ada: User) -> None:
    token = log_in("ada", PASSWORD, HERE).access
    form = {"password1": "another password", "password2": "another password", "usable_password": "true"}
    assert operator.post(f"/admin/accounts/user/{ada.pk}/password/", form).status_code == 302
    assert _dead(token)
    assert sign_in("ada", "another password", HERE).pk == ada.pk


def test_signing_out_everywhere_asks_first(operator: Client, ada: User) -> None:
    token = log_in("ada", PASSWORD, HERE).access
    form = {"action": "sign_out_everywhere", "_selected_action": [str(ada.pk)]}
    assert b"Yes, do it" in operator.post("/admin/accounts/user/", form).content
    assert not _dead(token)
    operator.post("/admin/accounts/user/", form | {"confirmed": "yes"})
    assert _dead(token)
    assert not Session.objects.filter(user=ada, ended_at=None).exists()


def test_an_operator_lets_somebody_in_again(operator: Client, ada: User) -> None:
    for _ in range(5):
        with pytest.raises((InvalidCredential, LockedOut)):
            sign_in("ada", "a wrong password", HERE)
    assert b"locked" in operator.get("/admin/axes/accessattempt/").content
    attempt = AccessAttempt.objects.get(username="ada")
    assert operator.post(f"/admin/axes/accessattempt/{attempt.pk}/delete/", {"post": "yes"}).status_code == 302
    assert sign_in("ada", PASSWORD, HERE).pk == ada.pk
    assert Entry.objects.filter(action="lockout.cleared", subject_id="ada").exists()


def test_the_consoles_own_sign_in_is_locked_alike(client: Client, ada: User) -> None:
    form = {"username": "ada", "password": "a wrong password"}
    answers = [client.post("/admin/login/?next=/admin/secret-page", form) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 4 + [429] * 2
    assert 50 <= int(answers[-1]["Retry-After"]) <= 60
    attempt = AccessAttempt.objects.get(username="ada")
    assert "a wrong password" not in f"{attempt.post_data} {attempt.get_data}"


def test_a_role_that_somebody_has_stays(operator: Client, ada: User) -> None:
    log_in("ada", PASSWORD, HERE)
    user = Role.objects.get(name="USER")
    assert operator.post(f"/admin/accounts/role/{user.pk}/delete/", {"post": "yes"}).status_code == 403
    operator.post("/admin/accounts/role/add/", {"name": "PREMIUM", "description": "More"})
    premium = Role.objects.get(name="PREMIUM")
    assert operator.post(f"/admin/accounts/role/{premium.pk}/delete/", {"post": "yes"}).status_code == 302
