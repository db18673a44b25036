"""The only door to users and their credentials."""

from apps.accounts.domain import AccessClaims, CredentialRecord
from apps.accounts.keys import parse as parse_key
from apps.accounts.selectors import find_access, find_key, find_user
from apps.accounts.services import create_api_key, open_user, revoke_api_key, revoke_keys_named
from apps.accounts.signing import published_keys, trust
from apps.accounts.tokens import PublishedKey, Trust, verify_access_token
from apps.accounts.usage import note_key_uses

__all__ = [
    "AccessClaims",
    "CredentialRecord",
    "PublishedKey",
    "Trust",
    "create_api_key",
    "find_access",
    "find_key",
    "find_user",
    "note_key_uses",
    "open_user",
    "parse_key",
    "published_keys",
    "revoke_api_key",
    "revoke_keys_named",
    "trust",
    "verify_access_token",
]
