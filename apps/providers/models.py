"""Providers, where they are reached, what may be called there, and at which price."""

from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models.functions import Now

from apps.core.ids import uuid7
from apps.core.units import MILLI
from apps.providers.validators import validate_base_url, validate_header_names, validate_names

MAX_PRICE = 10**12
"""A million units of the currency per million tokens; beyond it somebody has mistaken the unit."""

MAX_WEIGHT = 1_000 * MILLI
"""A thousand tokens for one."""


class Provider(models.Model):
    """Somebody who runs models. The slug is part of every account's id, so it never changes."""

    class Dialect(models.TextChoices):
        """How the provider is spoken to."""

        OPENAI = "openai", "OpenAI"

    slug = models.SlugField(
        primary_key=True, max_length=40, help_text="Part of every account of this provider: it cannot be changed later."
    )
    name = models.CharField(max_length=100)
    dialect = models.CharField(max_length=20, choices=Dialect, default=Dialect.OPENAI)
    enabled = models.BooleanField(default=True, help_text="While unset, none of its models can be called.")
    allowed_parameters = models.JSONField(
        default=list,
        blank=True,
        validators=[validate_names],
        help_text='Names of the request parameters that may pass; others are refused by name. ["*"] lets all pass.',
    )

    class Meta:
        ordering = ["slug"]

    def __str__(self) -> str:
        return self.name


class Upstream(models.Model):
    """An address of a provider and what opens it. The credential is stored sealed and never shown."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    provider = models.ForeignKey(Provider, on_delete=models.PROTECT, related_name="upstreams")
    name = models.CharField(max_length=100, help_text="For logs and this console.")
    base_url = models.CharField(
        "base URL",
        max_length=500,
        validators=[validate_base_url],
        help_text="Everything before the endpoint, as in https://api.openai.com/v1.",
    )
    sealed_credential = models.BinaryField(null=True)
    connect_timeout_ms = models.IntegerField(
        "connect timeout", default=2_000, validators=[MinValueValidator(10), MaxValueValidator(60_000)],
        help_text="Milliseconds until a connection must stand.",
    )  # fmt: skip
    first_byte_timeout_ms = models.IntegerField(
        "first byte timeout", default=120_000, validators=[MinValueValidator(10), MaxValueValidator(3_600_000)],
        help_text="Milliseconds until the answer must begin.",
    )  # fmt: skip
    deadline_ms = models.IntegerField(
        "deadline", default=600_000, validators=[MinValueValidator(10), MaxValueValidator(3_600_000)],
        help_text="Milliseconds until the whole answer must have come.",
    )  # fmt: skip
    forward_headers = models.JSONField(
        default=list,
        blank=True,
        validators=[validate_header_names],
        help_text='Headers of the client that may pass to this upstream, exact and lower case, as in ["x-trace"].',
    )
    enabled = models.BooleanField(default=True, help_text="While unset, no call is sent here.")

    class Meta:
        ordering = ["provider", "name"]
        constraints = [models.UniqueConstraint(fields=["provider", "name"], name="providers_upstream_once")]

    def __str__(self) -> str:
        return f"{self.provider_id}: {self.name}"


class Model(models.Model):
    """What callers may name. It costs nothing and cannot be called until it has a price."""

    class Kind(models.TextChoices):
        """Which endpoint serves it."""

        CHAT = "chat"
        EMBEDDING = "embedding"

    class Encoding(models.TextChoices):
        """Tokenizers that work offline."""

        O200K = "o200k_base", "o200k_base"
        CL100K = "cl100k_base", "cl100k_base"
        QWEN = "qwen3.5", "qwen3.5"
        UNKNOWN = "", "unknown: bytes are the bound"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(
        max_length=100,
        unique=True,
        validators=[RegexValidator(r"^[A-Za-z0-9][A-Za-z0-9._:/-]*\Z", "Letters, digits and . _ : / - only.")],
        help_text="As callers name it.",
    )
    provider = models.ForeignKey(Provider, on_delete=models.PROTECT, related_name="models")
    upstream_name = models.CharField(max_length=100, help_text="As the provider names it.")
    kind = models.CharField(max_length=10, choices=Kind, default=Kind.CHAT)
    encoding = models.CharField(
        max_length=20, choices=Encoding, blank=True, default=Encoding.UNKNOWN,
        help_text="Tokenizer for the bound of a prompt. A wrong one may hold too little.",
    )  # fmt: skip
    context_window = models.IntegerField(
        validators=[MinValueValidator(1), MaxValueValidator(10**8)],
        help_text="Provider tokens of prompt and answer together.",
    )
    max_output = models.IntegerField(
        validators=[MinValueValidator(0), MaxValueValidator(10**8)],
        help_text="Most provider tokens of one answer; 0 for embeddings.",
    )
    enabled = models.BooleanField(default=True, help_text="While unset, calls are answered as if it did not exist.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


def _weight(verbose_name: str, what: str) -> "models.IntegerField[int, int]":
    return models.IntegerField(
        verbose_name, default=MILLI, validators=[MinValueValidator(0), MaxValueValidator(MAX_WEIGHT)],
        help_text=f"Milli-tokens charged for one provider token of {what}: 1000 is one for one.",
    )  # fmt: skip


def _price(verbose_name: str, what: str) -> "models.BigIntegerField[int, int]":
    return models.BigIntegerField(
        verbose_name, default=0, validators=[MinValueValidator(0), MaxValueValidator(MAX_PRICE)],
        help_text=f"Micro-units of the currency per million provider tokens of {what}: 150,000 is 0.15.",
    )  # fmt: skip


class Price(models.Model):
    """Weights and money of a model from a moment on, until the next one. One that has started is history.

    The database refuses its change and its deletion, and a start in the past, to everybody
    (``migrations/0002_price_history.py``): what was charged must stay explicable.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    model = models.ForeignKey(Model, on_delete=models.PROTECT, related_name="prices")
    starts_at = models.DateTimeField(help_text="UTC. A moment that has passed means now.")
    input_weight = _weight("weight of input", "input")
    cached_input_weight = _weight("weight of cached input", "input that the provider had cached")
    output_weight = _weight("weight of output", "output")
    input_price = _price("price of input", "input")
    cached_input_price = _price("price of cached input", "input that the provider had cached")
    output_price = _price("price of output", "output")
    currency = models.CharField(
        max_length=3, default="USD", validators=[RegexValidator(r"^[A-Z]{3}\Z", "Three capital letters.")],
        help_text="ISO 4217, as in USD.",
    )  # fmt: skip

    class Meta:
        ordering = ["model", "-starts_at"]
        constraints = [
            models.UniqueConstraint(fields=["model", "starts_at"], name="providers_price_once"),
            models.CheckConstraint(
                condition=models.Q(
                    input_weight__gte=0, cached_input_weight__gte=0, output_weight__gte=0,
                    input_price__gte=0, cached_input_price__gte=0, output_price__gte=0,
                ),
                name="providers_price_not_negative",
            ),
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"{self.model} from {self.starts_at:%Y-%m-%d %H:%M} UTC"
