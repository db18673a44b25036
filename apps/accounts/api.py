"""The only door to users and their credentials."""

from apps.accounts.domain import AccessClaims, CredentialRecord, Visitor
from apps.accounts.first_party import sign_in
from apps.accounts.keys import parse as parse_key
from apps.accounts.selectors import find_access, find_key, find_user
from apps.accounts.services import create_api_key, open_user, revoke_api_key, revoke_keys_named
from apps.accounts.sessions import end_all, end_session, open_session, purge_sessions
from apps.accounts.signing import published_keys, trust
from apps.accounts.tokens import PublishedKey, Trust, verify_access_token

__all__ = [
    "AccessClaims",
    "CredentialRecord",
    "PublishedKey",
    "Trust",
    "Visitor",
    "create_api_key",
    "end_all",
    "end_session",
    "find_access",
    "find_key",
    "find_user",
    "open_session",
    "open_user",
    "parse_key",
    "published_keys",
    "purge_sessions",
    "revoke_api_key",
    "revoke_keys_named",
    "sign_in",
    "trust",
    "verify_access_token",
]
