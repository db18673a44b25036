"""Writes of the catalogue. Each raises its version, so every gateway follows."""

from collections.abc import Collection
from datetime import datetime
from typing import cast
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.db.models.functions import Now

from apps.config.api import CATALOGUE, touch
from apps.core.sealing import key_id_of, keyring, seal, unseal
from apps.providers.domain import Offer
from apps.providers.models import Model, Price, Provider, Upstream


@transaction.atomic
def save(row: Provider | Upstream | Model) -> None:
    """Write a provider, an upstream (not its credential) or a model, after checking all of its fields.

    Raises:
        ValidationError: a field is out of bounds.
    """
    row.full_clean()
    row.save()
    touch(CATALOGUE)


@transaction.atomic
def delete(row: Provider | Upstream | Model) -> None:
    """Delete an upstream, a provider without upstreams and models, or a model that was never priced.

    Raises:
        ProtectedError: something depends on it; disable it instead.
    """
    row.delete()
    touch(CATALOGUE)


@transaction.atomic
def switch(kind: type[Provider | Upstream | Model], keys: Collection[UUID | str], *, enabled: bool) -> int:
    """Enable or disable the rows of one kind with these primary keys; returns how many changed."""
    changed = kind.objects.filter(pk__in=keys).exclude(enabled=enabled).update(enabled=enabled)
    if changed:
        touch(CATALOGUE)
    return changed


@transaction.atomic
def save_upstream(upstream: Upstream, credential: str) -> None:
    """Write an upstream; a non-empty ``credential`` replaces the stored one, sealed for this row."""
    if credential:
        upstream.sealed_credential = seal(credential, upstream.pk.bytes, keyring())
    save(upstream)


@transaction.atomic
def save_price(price: Price) -> None:
    """Write a price that has not started. A start that has passed means now: history is not written anew.

    Raises:
        ValidationError: a field is out of bounds, or the stored price has started.
    """
    _insist_on_future(price)
    price.starts_at = max(price.starts_at, database_time())
    price.full_clean()
    price.save()
    touch(CATALOGUE)


@transaction.atomic
def delete_price(price: Price) -> None:
    """Take back a price that has not started.

    Raises:
        ValidationError: it has; it is history.
    """
    _insist_on_future(price)
    price.delete()
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
    secret = unseal(bytes(row.sealed_credential), row.pk.bytes, ring)
    row.sealed_credential = seal(secret, row.pk.bytes, ring)
    row.save(update_fields=["sealed_credential"])
    return True


def _insist_on_future(price: Price) -> None:
    if Price.objects.filter(pk=price.pk, starts_at__lte=Now()).exists():
        raise ValidationError("This price has started: it is history. Add a new one instead.")


def database_time() -> datetime:
    """The clock by which prices start: the database's, at the beginning of the transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT now()")
        (moment,) = cursor.fetchone()
    return cast("datetime", moment)
