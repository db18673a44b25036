"""What a gateway must know of providers, models and prices to serve a call: immutable values, no framework.

The snapshot is built by :mod:`apps.providers.api` from the tables and replaced as a whole when its version rises, so a
request sees one version from its first line to its last.
"""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from apps.core.units import Weights


@dataclass(frozen=True, slots=True)
class Price:
    """Weights and money of a model from ``starts_at`` on. Money is micro-currency per million provider tokens."""

    id: str
    starts_at: datetime
    weights: Weights
    input_price: int
    cached_input_price: int
    output_price: int
    currency: str


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where a provider is reached. ``credential`` is in memory only; its ``repr`` must never show it.

    ``base_url`` ends without a slash. An empty credential: the upstream wants none, so none is sent.
    """

    id: str
    base_url: str
    credential: "Credential"
    connect_timeout_ms: int
    first_byte_timeout_ms: int
    deadline_ms: int
    forward_headers: frozenset[str]


class Credential:
    """A provider's secret, opened only by :meth:`reveal`; printing it prints stars."""

    __slots__ = ("_secret",)

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def reveal(self) -> str:
        """The secret itself, for the ``Authorization`` header of an upstream request and nothing else."""
        return self._secret

    def __repr__(self) -> str:
        return "Credential('***')"


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider, how it is spoken to, and which request parameters its models take (``*``: all)."""

    slug: str
    name: str
    dialect: str
    allowed_parameters: frozenset[str]
    upstreams: tuple[Upstream, ...]

    def allows(self, parameter: str) -> bool:
        """Whether a request parameter may pass to this provider."""
        return parameter in self.allowed_parameters or "*" in self.allowed_parameters


@dataclass(frozen=True, slots=True)
class Model:
    """A model as callers name it. Sizes in provider tokens; ``prices`` ascend by ``starts_at``."""

    name: str
    provider: str
    upstream_name: str
    kind: str
    """``chat`` or ``embedding``."""
    encoding: str
    """Name of the offline tokenizer, or empty: then bytes are the bound."""
    context_window: int
    max_output: int
    prices: tuple[Price, ...]
    created: int
    """Unix seconds, for ``GET /v1/models``."""

    def price_at(self, moment: datetime) -> Price | None:
        """The price in force at ``moment``; None: not priced, so not callable."""
        index = bisect_right(self.prices, moment, key=lambda price: price.starts_at)
        return self.prices[index - 1] if index else None


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All that may be called now: enabled providers by slug, enabled models by name."""

    providers: Mapping[str, Provider]
    models: Mapping[str, Model]


@dataclass(frozen=True, slots=True)
class Offer:
    """A model as a seed describes it: weights of one, prices in micro-dollars per million provider tokens."""

    name: str
    kind: str
    encoding: str
    context_window: int
    max_output: int
    input_price: int
    cached_input_price: int
    output_price: int
