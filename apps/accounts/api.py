"""The only door to users and their credentials."""

from apps.accounts.browser import begin as begin_browser_session
from apps.accounts.browser import current as current_browser_session
from apps.accounts.browser import finish as finish_browser_session
from apps.accounts.domain import AccessClaims, CredentialRecord, Visitor
from apps.accounts.first_party import log_in, open_api_session, refresh, register, sign_in
from apps.accounts.issuing import SignedIn
from apps.accounts.keys import parse as parse_key
from apps.accounts.mail import send as send_mail
from apps.accounts.passwords import (
    change_password,
    renew_tokens,
    request_reset,
    request_verification,
    reset_password,
    verify_email,
)
from apps.accounts.selectors import find_access, find_key, find_user, roles_of, sessions_for
from apps.accounts.services import create_api_key, open_user, revoke_api_key, revoke_keys_named
from apps.accounts.sessions import end_all, end_session, open_session, purge_sessions
from apps.accounts.signing import published_keys, trust
from apps.accounts.tokens import PublishedKey, Trust, verify_access_token

__all__ = [
    "AccessClaims",
    "CredentialRecord",
    "PublishedKey",
    "SignedIn",
    "Trust",
    "Visitor",
    "begin_browser_session",
    "change_password",
    "create_api_key",
    "current_browser_session",
    "end_all",
    "end_session",
    "find_access",
    "find_key",
    "find_user",
    "finish_browser_session",
    "log_in",
    "open_api_session",
    "open_session",
    "open_user",
    "parse_key",
    "published_keys",
    "purge_sessions",
    "refresh",
    "register",
    "renew_tokens",
    "request_reset",
    "request_verification",
    "reset_password",
    "revoke_api_key",
    "revoke_keys_named",
    "roles_of",
    "send_mail",
    "sessions_for",
    "sign_in",
    "trust",
    "verify_access_token",
    "verify_email",
]
