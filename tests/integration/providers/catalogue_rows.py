"""Rows that the tests of the catalogue start from."""

from apps.providers.api import Offer, open_model, open_provider, open_upstream
from apps.providers.models import Model, Upstream

CANARY = "sk-canary-71c4d0"


def acme(models: int = 1) -> None:
    """A provider with one upstream and some priced models, ``acme-0`` and on."""
    open_provider("acme", "Acme", "openai", ["model", "messages"])
    open_upstream("acme", "main", base_url="http://127.0.0.1:1/v1", credential=CANARY, forward_headers=["x-trace"])
    for number in range(models):
        open_model("acme", Offer(f"acme-{number}", "chat", "o200k_base", 128_000, 16_384, 150_000, 75_000, 600_000))


def acme_model() -> Model:
    """The first of its models."""
    return Model.objects.get(name="acme-0")


def acme_upstream() -> Upstream:
    """Its upstream."""
    return Upstream.objects.get(provider="acme")
