"""Writes of the catalogue. Each raises its version, so every gateway follows, and leaves an audit entry."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import cast
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.db.models.functions import Now

from apps.audit.api import State, Subject, record, state_of, stored_state
from apps.config.api import CATALOGUE, touch
from apps.core.sealing import key_id_of, keyring, seal, unseal
from apps.providers.domain import Offer
from apps.providers.models import Model, Price, Provider, Upstream

Row = Provider | Upstream | Model | Price

_TOLD: Mapping[type[Row], tuple[str, ...]] = {
    Provider: ("slug", "name", "dialect", "enabled", "allowed_parameters"),
    Upstream: (
        "provider", "name", "base_url", "enabled", "connect_timeout_ms", "first_byte_timeout_ms", "deadline_ms",
        "forward_headers",
    ),
    Model: (
        "provider", "name", "upstream_name", "kind", "encoding", "context_window", "max_output", "enabled",
    ),
    Price: (
        "model", "starts_at", "currency", "input_price", "cached_input_price", "output_price",
        "input_weight", "cached_input_weight", "output_weight",
    ),
}  # fmt: skip
"""Fields that the audit trail tells of: all but credentials."""


@transaction.atomic
def save(row: Provider | Upstream | Model) -> None:
    """Write a provider, an upstream (not its credential) or a model, after checking all of its fields.

    Raises:
        ValidationError: a field is out of bounds.
    """
    row.full_clean()
    before = stored_state(row, *_TOLD[type(row)])
    row.save()
    _record("changed" if before else "created", row, before, _state(row))
    touch(CATALOGUE)


@transaction.atomic
def delete(row: Provider | Upstream | Model) -> None:
    """Delete an upstream, a provider without upstreams and models, or a model that was never priced.

    Raises:
        ProtectedError: something depends on it; disable it instead.
    """
    subject, before = _subject(row), stored_state(row, *_TOLD[type(row)])
    row.delete()
    record(f"{subject.kind}.deleted", subject, before, None)
    touch(CATALOGUE)


@transaction.atomic
def switch(kind: type[Provider | Upstream | Model], keys: Collection[UUID | str], *, enabled: bool) -> int:
    """Enable or disable the rows of one kind with these primary keys; returns how many changed."""
    rows = kind.objects.select_for_update().filter(pk__in=keys).exclude(enabled=enabled).order_by("pk")
    for row in rows:
        row.enabled = enabled
        row.save(update_fields=["enabled"])
        _record("enabled" if enabled else "disabled", row, {"enabled": not enabled}, {"enabled": enabled})
    if rows:
        touch(CATALOGUE)
    return len(rows)


@transaction.atomic
def save_upstream(upstream: Upstream, credential: str) -> None:
    """Write an upstream; a non-empty ``credential`` replaces the stored one, sealed for this row."""
    had = "set" if upstream.sealed_credential else "not set"
    if credential:
        upstream.sealed_credential = seal(credential, upstream.pk.bytes, keyring())
    save(upstream)
    if credential:
        _record("credential_replaced", upstream, {"credential": had}, {"credential": "replaced"})


@transaction.atomic
def save_price(price: Price) -> None:
    """Write a price that has not started. A start that has passed means now: history is not written anew.

    Raises:
        ValidationError: a field is out of bounds, or the stored price has started.
    """
    _insist_on_future(price)
    price.starts_at = max(price.starts_at, database_time())
    price.full_clean()
    before = stored_state(price, *_TOLD[Price])
    price.save()
    _record("changed" if before else "added", price, before, _state(price))
    touch(CATALOGUE)


@transaction.atomic
def delete_price(price: Price) -> None:
    """Take back a price that has not started.

    Raises:
        ValidationError: it has; it is history.
    """
    _insist_on_future(price)
    subject, before = _subject(price), stored_state(price, *_TOLD[Price])
    price.delete()
    record("price.withdrawn", subject, before, None)
    touch(CATALOGUE)


def open_provider(slug: str, name: str, dialect: str, allowed_parameters: Collection[str]) -> None:
    """Add a provider; one that is there is left as operators have made it."""
    if not Provider.objects.filter(pk=slug).exists():
        save(Provider(slug=slug, name=name, dialect=dialect, allowed_parameters=sorted(allowed_parameters)))


def open_upstream(
    provider: str, name: str, *, base_url: str, credential: str, forward_headers: Collection[str]
) -> None:
    """Add an upstream, or move the one that is there to another ``base_url``; the rest of it is left as it is."""
    upstream = Upstream.objects.filter(provider=provider, name=name).first()
    if upstream is None:
        row = Upstream(provider_id=provider, name=name, base_url=base_url, forward_headers=sorted(forward_headers))
        save_upstream(row, credential)
    elif upstream.base_url != base_url:
        upstream.base_url = base_url
        save(upstream)


@transaction.atomic
def open_model(provider: str, offer: Offer) -> None:
    """Add a model with a price in US dollars that starts now; one that is there is left as operators have made it."""
    if Model.objects.filter(name=offer.name).exists():
        return
    model = Model(
        name=offer.name,
        provider_id=provider,
        upstream_name=offer.name,
        kind=offer.kind,
        encoding=offer.encoding,
        context_window=offer.context_window,
        max_output=offer.max_output,
    )
    save(model)
    save_price(
        Price(
            model=model,
            starts_at=database_time(),
            input_price=offer.input_price,
            cached_input_price=offer.cached_input_price,
            output_price=offer.output_price,
        )
    )


def reencrypt_credentials() -> int:
    """Seal every credential with the newest key; returns how many were sealed with another one.

    Each row is a transaction of its own, so it may be stopped and run again. Afterwards older keys can go.

    Raises:
        SealBroken: a credential does not open; its upstream is named.
    """
    ids = Upstream.objects.exclude(sealed_credential=None).values_list("pk", flat=True)
    return sum(_reencrypt(upstream_id) for upstream_id in ids)


@transaction.atomic
def _reencrypt(upstream_id: UUID) -> bool:
    row, ring = Upstream.objects.select_for_update().get(pk=upstream_id), keyring()
    if row.sealed_credential is None or key_id_of(bytes(row.sealed_credential)) == ring.newest:
        return False
    before = {"sealed_with": key_id_of(bytes(row.sealed_credential))}
    secret = unseal(bytes(row.sealed_credential), row.pk.bytes, ring)
    row.sealed_credential = seal(secret, row.pk.bytes, ring)
    row.save(update_fields=["sealed_credential"])
    _record("credential_resealed", row, before, {"sealed_with": ring.newest})
    return True


def _record(verb: str, row: Row, before: State | None, after: State | None) -> None:
    subject = _subject(row)
    record(f"{subject.kind}.{verb}", subject, before, after)


def _subject(row: Row) -> Subject:
    return Subject(str(row._meta.model_name), str(row.pk))  # noqa: SLF001 (Django documents it as public)


def _state(row: Row) -> State:
    return state_of(row, *_TOLD[type(row)])


def _insist_on_future(price: Price) -> None:
    if Price.objects.filter(pk=price.pk, starts_at__lte=Now()).exists():
        raise ValidationError("This price has started: it is history. Add a new one instead.")


def database_time() -> datetime:
    """The clock by which prices start: the database's, at the beginning of the transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT now()")
        (moment,) = cursor.fetchone()
    return cast("datetime", moment)
