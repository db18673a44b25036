"""The only door to users and their credentials."""

from apps.accounts.browser import begin as begin_browser_session
from apps.accounts.browser import current as current_browser_session
from apps.accounts.browser import finish as finish_browser_session
from apps.accounts.domain import AccessClaims, CredentialRecord, KeyEnded, ScopesWidened, TooManyKeys, Visitor
from apps.accounts.first_party import log_in, open_api_session, refresh, register, sign_in
from apps.accounts.issuing import SignedIn
from apps.accounts.keys import parse as parse_key
from apps.accounts.mail import send as send_mail
from apps.accounts.models import ApiKey, User
from apps.accounts.oauth.clients import open_client
from apps.accounts.oauth.clients import purge as purge_oauth_tokens
from apps.accounts.passwords import (
    change_password,
    renew_tokens,
    request_reset,
    request_verification,
    reset_password,
    verify_email,
)
from apps.accounts.selectors import (
    find_access,
    find_key,
    find_key_for,
    find_user,
    find_user_by_id,
    keys_of,
    keys_paid_by,
    may_issue_keys,
    roles_of,
    sessions_for,
)
from apps.accounts.service_accounts import create_service_account, deactivate
from apps.accounts.services import EDITABLE as KEY_FIELDS
from apps.accounts.services import (
    create_api_key,
    narrow_api_key,
    open_user,
    revoke_api_key,
    revoke_api_keys,
    revoke_keys_named,
    revoke_keys_of,
    rotate_api_key,
    save_api_key,
)
from apps.accounts.sessions import end_all, end_session, open_session, purge_sessions
from apps.accounts.signing import LEAD as SIGNING_KEY_LEAD
from apps.accounts.signing import (
    published_keys,
    reseal_signing_keys,
    rotate_if_old,
    rotate_signing_key,
    trust,
    withdraw_signing_key,
)
from apps.accounts.tokens import PublishedKey, Trust, verify_access_token
from apps.accounts.usage import note_key_uses
from apps.accounts.validators import validate_label, validate_networks, validate_scopes

__all__ = [
    "KEY_FIELDS",
    "SIGNING_KEY_LEAD",
    "AccessClaims",
    "ApiKey",
    "CredentialRecord",
    "KeyEnded",
    "PublishedKey",
    "ScopesWidened",
    "SignedIn",
    "TooManyKeys",
    "Trust",
    "User",
    "Visitor",
    "begin_browser_session",
    "change_password",
    "create_api_key",
    "create_service_account",
    "current_browser_session",
    "deactivate",
    "end_all",
    "end_session",
    "find_access",
    "find_key",
    "find_key_for",
    "find_user",
    "find_user_by_id",
    "finish_browser_session",
    "keys_of",
    "keys_paid_by",
    "log_in",
    "may_issue_keys",
    "narrow_api_key",
    "note_key_uses",
    "open_api_session",
    "open_client",
    "open_session",
    "open_user",
    "parse_key",
    "published_keys",
    "purge_oauth_tokens",
    "purge_sessions",
    "refresh",
    "register",
    "renew_tokens",
    "request_reset",
    "request_verification",
    "reseal_signing_keys",
    "reset_password",
    "revoke_api_key",
    "revoke_api_keys",
    "revoke_keys_named",
    "revoke_keys_of",
    "roles_of",
    "rotate_api_key",
    "rotate_if_old",
    "rotate_signing_key",
    "save_api_key",
    "send_mail",
    "sessions_for",
    "sign_in",
    "trust",
    "validate_label",
    "validate_networks",
    "validate_scopes",
    "verify_access_token",
    "verify_email",
    "withdraw_signing_key",
]
