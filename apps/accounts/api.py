"""The only door to users and API keys."""

from apps.accounts.domain import KeyRecord
from apps.accounts.keys import parse as parse_key
from apps.accounts.selectors import find_key, find_user
from apps.accounts.services import create_api_key, open_user, revoke_api_key, revoke_keys_named

__all__ = [
    "KeyRecord",
    "create_api_key",
    "find_key",
    "find_user",
    "open_user",
    "parse_key",
    "revoke_api_key",
    "revoke_keys_named",
]
