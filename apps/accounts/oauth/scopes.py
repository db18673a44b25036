"""What clients may ask for, and the words of the consent page."""

from typing import Any

from oauth2_provider.scopes import BaseScopes

from apps.accounts.models import Application
from apps.accounts.tokens import ALIASES
from apps.core.http.caller import SCOPES

OPENID, PROFILE, EMAIL, OFFLINE = "openid", "profile", "email", "offline_access"
IDENTITY = {
    OPENID: "Know who you are here",
    PROFILE: "See your name and user name",
    EMAIL: "See your e-mail address",
    OFFLINE: "Keep this access while you are away",
}
"""Scopes of OpenID Connect; every client that people sign in with may ask for them."""

EVERY_SCOPE = {**SCOPES, **IDENTITY, **{alias: SCOPES[scope] for alias, scope in ALIASES.items()}}


def available(client: Application) -> list[str]:
    """The scopes that ``client`` may ask for, those of the original system by both their names."""
    allowed = set(client.allowed_scopes)
    by_old_names = {alias for alias, scope in ALIASES.items() if scope in allowed}
    people = client.authorization_grant_type == Application.GRANT_AUTHORIZATION_CODE
    return sorted(allowed | by_old_names | (set(IDENTITY) if people else set()))


class ClientScopes(BaseScopes):
    """The library's view of the above: each client has its own."""

    def get_all_scopes(self) -> dict[str, str]:
        """All, with their words."""
        return EVERY_SCOPE

    def get_available_scopes(
        self, application: Application | None = None, request: Any = None, *args: Any, **kwargs: Any
    ) -> list[str]:
        """What ``application`` may ask for; all without one."""
        return sorted(EVERY_SCOPE) if application is None else available(application)

    def get_default_scopes(
        self, application: Application | None = None, request: Any = None, *args: Any, **kwargs: Any
    ) -> list[str]:
        """What a client gets that asks for nothing: what it was registered for."""
        return [] if application is None else sorted(application.allowed_scopes)
