"""Reads of the catalogue: from tables to the immutable values that gateways serve from."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

import structlog

from apps.core.sealing import Keyring, SealBroken, keyring, unseal
from apps.core.units import Weights
from apps.providers import domain
from apps.providers.models import Model, Price, Provider, Upstream

_log = structlog.get_logger(__name__)


def catalogue() -> domain.Catalogue:
    """All that may be called now, in four queries however much it is. Disabled things are not in it.

    Models without a price are, with ``prices=()``: they exist, but cannot be called yet. Read the version of the
    topic before: a change in between then shows as a newer version.
    """
    upstreams = _upstreams_by_provider()
    providers = {row.slug: _provider(row, upstreams[row.slug]) for row in Provider.objects.filter(enabled=True)}
    prices = _prices_by_model()
    rows = Model.objects.filter(enabled=True, provider__in=providers)
    return domain.Catalogue(providers, {row.name: _model(row, prices[row.pk]) for row in rows})


def enabled_providers() -> list[str]:
    """Short names of the providers whose models may be called, sorted. One query."""
    return list(Provider.objects.filter(enabled=True).order_by("slug").values_list("slug", flat=True))


def present_price(model_id: UUID, moment: datetime) -> Price | None:
    """The price of a model in force at ``moment``."""
    return Price.objects.filter(model=model_id, starts_at__lte=moment).order_by("-starts_at").first()


def _upstreams_by_provider() -> defaultdict[str, list[domain.Upstream]]:
    grouped, ring = defaultdict(list), keyring()
    for row in Upstream.objects.filter(enabled=True, provider__enabled=True).order_by("name"):
        try:
            grouped[row.provider_id].append(_upstream(row, ring))
        except SealBroken:
            # One credential that does not open must not take the other upstreams away from every gateway.
            _log.exception("providers.upstream_left_out", upstream=str(row.pk))
    return grouped


def _prices_by_model() -> defaultdict[UUID, list[domain.Price]]:
    grouped = defaultdict(list)
    for row in Price.objects.filter(model__enabled=True).order_by("starts_at"):
        grouped[row.model_id].append(_price(row))
    return grouped


def _provider(row: Provider, upstreams: Iterable[domain.Upstream]) -> domain.Provider:
    return domain.Provider(row.slug, row.name, row.dialect, frozenset(row.allowed_parameters), tuple(upstreams))


def _upstream(row: Upstream, ring: Keyring) -> domain.Upstream:
    sealed = row.sealed_credential
    return domain.Upstream(
        id=str(row.pk),
        base_url=row.base_url.rstrip("/"),
        credential=domain.Credential("" if sealed is None else unseal(bytes(sealed), row.pk.bytes, ring)),
        connect_timeout_ms=row.connect_timeout_ms,
        first_byte_timeout_ms=row.first_byte_timeout_ms,
        deadline_ms=row.deadline_ms,
        forward_headers=frozenset(row.forward_headers),
    )


def _model(row: Model, prices: Iterable[domain.Price]) -> domain.Model:
    return domain.Model(
        name=row.name,
        provider=row.provider_id,
        upstream_name=row.upstream_name,
        kind=row.kind,
        encoding=row.encoding,
        context_window=row.context_window,
        max_output=row.max_output,
        prices=tuple(prices),
        created=int(row.created_at.timestamp()),
    )


def _price(row: Price) -> domain.Price:
    return domain.Price(
        id=str(row.pk),
        starts_at=row.starts_at,
        weights=Weights(row.input_weight, row.cached_input_weight, row.output_weight),
        input_price=row.input_price,
        cached_input_price=row.cached_input_price,
        output_price=row.output_price,
        currency=row.currency,
    )
