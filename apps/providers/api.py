"""The only door to what may be called, where, and at which price."""

from apps.providers.domain import Catalogue, Credential, Model, Offer, Price, Provider, Upstream
from apps.providers.selectors import catalogue, enabled_providers
from apps.providers.services import open_model, open_provider, open_upstream, reencrypt_credentials

__all__ = [
    "Catalogue",
    "Credential",
    "Model",
    "Offer",
    "Price",
    "Provider",
    "Upstream",
    "catalogue",
    "enabled_providers",
    "open_model",
    "open_provider",
    "open_upstream",
    "reencrypt_credentials",
]
