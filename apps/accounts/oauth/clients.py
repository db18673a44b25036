"""Writes of OAuth2 clients. Each is audited, and every gateway forgets what it knew of the client."""

import secrets
from collections.abc import Collection
from uuid import UUID

from django.contrib.auth.hashers import check_password
from django.db import transaction
from oauth2_provider.models import clear_expired

from apps.accounts.models import Application, User
from apps.accounts.oauth.validator import end_tokens
from apps.accounts.services import save_user
from apps.audit.api import State, Subject, record, state_of
from apps.config.api import CREDENTIALS, touch

SECRET_BYTES = 32


@transaction.atomic
def create_client(client: Application) -> str:
    """Register ``client``; returns its secret, which nobody can show again ("" for a public client, which has none)."""
    secret = _new_secret(client)
    client.save(force_insert=True)
    record("client.created", _subject(client), None, _state(client))
    return secret


@transaction.atomic
def save_client(client: Application) -> None:
    """Write a change of a client. One that acts for another account than before starts without tokens."""
    before = Application.objects.select_for_update().get(pk=client.pk)
    client.client_secret = before.client_secret
    client.save()
    if before.user_id != client.user_id:
        end_tokens(client, None)
    touch(CREDENTIALS, f"client:{client.client_id}")
    record("client.changed", _subject(client), _state(before), _state(client))


@transaction.atomic
def rotate_secret(client: Application) -> str:
    """A new secret, returned once. The old one and all tokens that the client got for itself end now."""
    secret = _new_secret(client)
    client.save(update_fields=["client_secret", "updated"])
    end_tokens(client, None)
    record("client.secret_rotated", _subject(client), {"secret": "old"}, {"secret": "new"})
    return secret


@transaction.atomic
def delete_client(client: Application) -> None:
    """The client and all its tokens."""
    record("client.deleted", _subject(client), _state(client), None)
    client.delete()
    touch(CREDENTIALS, f"client:{client.client_id}")


@transaction.atomic
def open_client(client_id: str, secret: str, *, scopes: Collection[str], org_id: UUID | None = None) -> UUID:
    """The client of this id that acts for a service account of its name, made if missing; returns that account's id.

    A client that is there keeps what operators gave it, and its secret as long as it is this one.

    Raises:
        LookupError: operators took its account away.
    """
    client = Application.objects.select_for_update().filter(client_id=client_id).first()
    if client is None:
        client = _robot(client_id, sorted(scopes), org_id)
        record("client.created", _subject(client), None, _state(client))
    if not check_password(secret, client.client_secret):
        client.client_secret = secret
        client.save()
        touch(CREDENTIALS, f"client:{client_id}")
    account: UUID | None = client.user_id
    if account is None:
        raise LookupError(f"client {client_id} has no account")
    return account


def purge() -> None:
    """Delete what can never be used again: codes and tokens that have expired. No gateway need hear of them.

    Refresh tokens that were used stay until they could not be refreshed any more, to tell that one is used again.
    """
    clear_expired()


def _robot(client_id: str, scopes: list[str], org_id: UUID | None) -> Application:
    client = Application(
        client_id=client_id,
        name=client_id,
        client_type=Application.CLIENT_CONFIDENTIAL,
        authorization_grant_type=Application.GRANT_CLIENT_CREDENTIALS,
        user=_service_account(client_id),
        org_id=org_id,
        allowed_scopes=scopes,
    )
    client.full_clean()
    client.save()
    return client


def _service_account(name: str) -> User:
    found = User.objects.filter(username=name).first()
    if found:
        return found
    account = User(username=name, email=f"{name}@clients.invalid", kind=User.Kind.SERVICE)
    account.set_unusable_password()
    save_user(account)
    return account


def _new_secret(client: Application) -> str:
    secret = secrets.token_urlsafe(SECRET_BYTES)
    client.client_secret = secret
    return secret if client.client_type == Application.CLIENT_CONFIDENTIAL else ""


def _subject(client: Application) -> Subject:
    return Subject("client", client.client_id, client.org_id)


def _state(client: Application) -> State:
    return state_of(
        client, "name", "client_type", "authorization_grant_type", "user", "org_id", "allowed_scopes", "redirect_uris",
        "post_logout_redirect_uris", "allowed_origins",
    )  # fmt: skip
