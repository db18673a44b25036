"""The only door to users and their credentials."""

from apps.accounts.domain import AccessClaims, CredentialRecord, KeyEnded, ScopesWidened, TooManyKeys
from apps.accounts.keys import parse as parse_key
from apps.accounts.models import ApiKey, User
from apps.accounts.selectors import (
    find_access,
    find_key,
    find_key_for,
    find_user,
    find_user_by_id,
    keys_of,
    keys_paid_by,
    may_issue_keys,
)
from apps.accounts.service_accounts import create_service_account, deactivate
from apps.accounts.services import (
    create_api_key,
    narrow_api_key,
    open_user,
    revoke_api_key,
    revoke_keys_named,
    revoke_keys_of,
    rotate_api_key,
)
from apps.accounts.signing import published_keys, trust
from apps.accounts.tokens import PublishedKey, Trust, verify_access_token
from apps.accounts.validators import validate_label, validate_networks, validate_scopes

__all__ = [
    "AccessClaims",
    "ApiKey",
    "CredentialRecord",
    "KeyEnded",
    "PublishedKey",
    "ScopesWidened",
    "TooManyKeys",
    "Trust",
    "User",
    "create_api_key",
    "create_service_account",
    "deactivate",
    "find_access",
    "find_key",
    "find_key_for",
    "find_user",
    "find_user_by_id",
    "keys_of",
    "keys_paid_by",
    "may_issue_keys",
    "narrow_api_key",
    "open_user",
    "parse_key",
    "published_keys",
    "revoke_api_key",
    "revoke_keys_named",
    "revoke_keys_of",
    "rotate_api_key",
    "trust",
    "validate_label",
    "validate_networks",
    "validate_scopes",
    "verify_access_token",
]
