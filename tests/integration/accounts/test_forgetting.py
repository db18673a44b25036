"""Whom the gateways forget after each change of users, keys and sessions: whoever it concerns, and nobody else."""

from collections.abc import Callable
from datetime import timedelta
from typing import NamedTuple

import pytest

from apps.accounts import services, sessions
from apps.accounts.api import Visitor, create_api_key, open_user, revoke_api_key, rotate_api_key
from apps.accounts.models import ApiKey, Application, Role, Session, User
from apps.accounts.oauth.clients import delete_client, rotate_secret, save_client
from apps.config.api import CREDENTIALS, changes, versions

pytestmark = pytest.mark.django_db


class People(NamedTuple):
    """A user with a key, an open session and a client."""

    user: User
    key: ApiKey
    session: Session
    client: Application


@pytest.fixture
def people() -> People:
    user = open_user("ada", "ada@example.test", "a long enough password")
    key, _ = create_api_key(user, "laptop")
    client = Application.objects.create(
        name="robot", client_id="robot", user=user, client_type=Application.CLIENT_CONFIDENTIAL,
        authorization_grant_type=Application.GRANT_CLIENT_CREDENTIALS,
    )  # fmt: skip
    return People(user, key, sessions.open_session(user, Session.Kind.API, Visitor()), client)


def _disable(people: People) -> None:
    people.user.is_active = False
    services.save_user(people.user)


def _set_password(people: People) -> None:
    people.user.set_password("another long password")
    services.save_user(people.user)


CHANGES: dict[str, tuple[Callable[[People], object], str]] = {
    "key revoked": (lambda people: revoke_api_key(people.key.pk), "key"),
    "key changed": (lambda people: services.narrow_api_key(people.key.pk, {"budget": 7}), "key"),
    "key changed in the console": (lambda people: services.save_api_key(people.key), "key"),
    "key rotated": (lambda people: rotate_api_key(people.key.pk, timedelta(hours=1)), "key"),
    "user saved": (lambda people: services.save_user(people.user), "user"),
    "user disabled": (_disable, "user"),
    "password set": (_set_password, "user"),
    "roles set": (lambda people: services.set_roles(people.user, list(Role.objects.all())), "user"),
    "role granted": (lambda people: services.grant_role(people.user, "ADMIN"), "user"),
    "signed out everywhere": (lambda people: sessions.end_all(people.user.pk), "user"),
    "session ended": (lambda people: sessions.end_session(people.user.pk, people.session.pk), "session"),
    "client changed": (lambda people: save_client(people.client), "client"),
    "client's secret rotated": (lambda people: rotate_secret(people.client), "client"),
    "client deleted": (lambda people: delete_client(people.client), "client"),
}


def _forgotten(change: Callable[[], object]) -> set[str] | None:
    before = versions()[CREDENTIALS]
    change()
    return changes(CREDENTIALS, before, versions()[CREDENTIALS])


@pytest.mark.parametrize("name", CHANGES)
def test_only_whom_it_concerns_is_forgotten(people: People, name: str) -> None:
    change, whom = CHANGES[name]
    subjects = {
        "key": f"key:{people.key.pk}",
        "user": f"user:{people.user.pk}",
        "session": f"session:{people.session.pk}",
        "client": f"client:{people.client.client_id}",
    }
    assert _forgotten(lambda: change(people)) == {subjects[whom]}


def test_a_new_key_makes_nobody_forget_anything(people: People) -> None:
    assert _forgotten(lambda: create_api_key(people.user, "another")) == set()


def test_a_deleted_user_is_forgotten() -> None:
    user = open_user("grace", "grace@example.test", "a long enough password")
    subject = f"user:{user.pk}"
    assert _forgotten(lambda: services.delete_user(user)) == {subject}


def test_several_keys_revoked_at_once_are_named_each(people: People) -> None:
    other, _ = create_api_key(people.user, "another")
    keys = [people.key.pk, other.pk]
    assert _forgotten(lambda: services.revoke_api_keys(keys)) == {f"key:{key}" for key in keys}


def test_a_deleted_role_may_be_anybodys(people: People) -> None:
    assert _forgotten(lambda: services.delete_role(Role.objects.get(name="ADMIN"))) is None
