"""Callers of two organisations, with every kind of credential; and things of theirs to be asked for."""

from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from django.utils import timezone

from apps.accounts import api as accounts
from apps.accounts.models import Role, Session, User
from apps.core.http.caller import ADMIN, ALL_SCOPES
from apps.core.ids import uuid7
from apps.orgs import api as orgs
from apps.orgs import invitations, service_accounts
from apps.orgs.domain import Standing
from apps.orgs.models import Organisation
from tests.functional import spending
from tests.functional.identities import access_token, client_token

if TYPE_CHECKING:
    from collections.abc import Callable

JWT, OAUTH2, KEY, NARROW_KEY = "jwt", "oauth2", "key", "narrow key"
KINDS = (JWT, OAUTH2, KEY, NARROW_KEY)
"""A first-party token; an application's with every scope; a key with every scope; a key with the usual ones."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with one credential of each kind."""

    user: User
    credentials: dict[str, str]

    @property
    def id(self) -> UUID:
        """The user's."""
        return UUID(str(self.user.pk))


def person(issuer: str, *, admin: bool = False) -> Person:
    """A new user, with the role ADMIN if wanted."""
    name = f"p{uuid4().hex[:12]}"
    user = accounts.open_user(username=name, email=f"{name}@example.org", password=uuid4().hex)
    if admin:
        user.roles.add(Role.objects.get(name=ADMIN))
    makers: dict[str, Callable[[User], str]] = {
        JWT: first_party_token, OAUTH2: partial(_oauth2_token, issuer=issuer), KEY: _wide_key, NARROW_KEY: _narrow_key,
    }  # fmt: skip
    return Person(user, {kind: make(user) for kind, make in makers.items()})


def first_party_token(user: User) -> str:
    """A token as sign-in gives it, with a session that stands."""
    return access_token(UUID(str(user.pk)))


def _oauth2_token(user: User, issuer: str) -> str:
    return client_token(UUID(str(user.pk)), " ".join(sorted(ALL_SCOPES)), issuer)[0]


def _wide_key(user: User) -> str:
    return accounts.create_api_key(user, "wide", scopes=sorted(ALL_SCOPES))[1]


def _narrow_key(user: User) -> str:
    return accounts.create_api_key(user, "narrow")[1]


@dataclass(frozen=True, slots=True)
class World:
    """Two organisations: everybody of the first, and the owner of the second, who has no business there."""

    org: Organisation
    people: dict[str, Person] = field(default_factory=dict)


def world(issuer: str) -> World:
    """A new one; ``issuer`` is where the system is reached."""
    first, second = (orgs.open_organisation(f"o{uuid7().hex[-12:]}", "Matrix") for _ in range(2))
    people = {
        name: person(issuer, admin=name == "operator") for name in ("owner", "admin", "member", "stranger", "operator")
    }
    for role in ("owner", "admin", "member"):
        orgs.join(first, people[role].id, role)
    orgs.join(second, people["stranger"].id, "owner")
    return World(first, people)


class Things:
    """What rows name in braces: made when first named, or anew for each call."""

    def __init__(self, world: World) -> None:
        self._kept: dict[str, str] = {"org_id": str(world.org.pk)}
        self._make: dict[str, Callable[[], str]] = {
            "org_id": lambda: str(_like(world).pk),
            "user_id": lambda: str(_member(world).pk),
            "service_id": lambda: str(_service_account(world).pk),
            "invitation_id": lambda: _invitation(world),
            "key_id": lambda: accounts.create_api_key(world.people["owner"].user, "org", org_id=world.org.pk)[0].pk,
            "session_id": lambda: _session(_member(world)),
            "address": lambda: f"{uuid4().hex}@example.org",
            "pool": lambda: spending.pool(world.org.pk),
            "receipt_id": lambda: spending.call(world.org.pk)[0],
            "request_id": lambda: spending.call(world.org.pk)[1],
        }

    def named(self, name: str, person: Person, *, anew: bool) -> str:
        """The id of one; ``own_id`` and ``own_key`` are the caller's, who has tokens with ``provider``."""
        if name == "own_id":
            return str(person.id)
        if name == "own_key":
            return str(accounts.create_api_key(person.user, "own")[0].pk)
        if name == "provider":
            return spending.own(person.id)
        if anew or name == "address":
            return self._make[name]()
        if name not in self._kept:
            self._kept[name] = self._make[name]()
        return self._kept[name]


def _like(world: World) -> Organisation:
    """Another organisation with the same people in the same places."""
    org = orgs.open_organisation(f"o{uuid7().hex[-12:]}", "Matrix")
    for role in ("owner", "admin", "member"):
        orgs.join(org, world.people[role].id, role)
    return org


def _member(world: World) -> User:
    name = f"m{uuid4().hex[:12]}"
    user = accounts.open_user(username=name, email=f"{name}@example.org", password=uuid4().hex)
    orgs.join(world.org, user.pk, "member")
    return user


def _service_account(world: World) -> User:
    owner = Standing(world.org.pk, world.people["owner"].id, "owner")
    return service_accounts.create(owner, f"matrix {uuid4().hex[:8]}")


def _invitation(world: World) -> str:
    owner = Standing(world.org.pk, world.people["owner"].id, "owner")
    return str(invitations.invite(owner, f"{uuid4().hex}@example.org", "member").pk)


def _session(user: User) -> str:
    until = timezone.now() + timedelta(days=1)
    return str(Session.objects.create(user=user, kind=Session.Kind.API, expires_at=until).pk)
