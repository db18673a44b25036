"""The only door to users and their credentials."""

from apps.accounts.domain import AccessClaims, CredentialRecord
from apps.accounts.keys import parse as parse_key
from apps.accounts.models import ApiKey, User
from apps.accounts.selectors import find_access, find_key, find_user, keys_paid_by
from apps.accounts.service_accounts import create_service_account, deactivate
from apps.accounts.services import create_api_key, open_user, revoke_api_key, revoke_keys_named, revoke_keys_of
from apps.accounts.signing import published_keys, trust
from apps.accounts.tokens import PublishedKey, Trust, verify_access_token

__all__ = [
    "AccessClaims",
    "ApiKey",
    "CredentialRecord",
    "PublishedKey",
    "Trust",
    "User",
    "create_api_key",
    "create_service_account",
    "deactivate",
    "find_access",
    "find_key",
    "find_user",
    "keys_paid_by",
    "open_user",
    "parse_key",
    "published_keys",
    "revoke_api_key",
    "revoke_keys_named",
    "revoke_keys_of",
    "trust",
    "verify_access_token",
]
