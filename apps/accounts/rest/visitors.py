"""Who stands before a view, as the services of sign-in want to know it."""

from uuid import UUID

from rest_framework.exceptions import NotAuthenticated
from rest_framework.request import Request

from apps.accounts.api import Visitor
from apps.core.http.views import caller_of


def visitor_of(request: Request) -> Visitor:
    """From where a request comes, as the gateway saw it."""
    return Visitor(caller_of(request).ip, request.headers.get("User-Agent", ""))


def user_id_of(request: Request) -> UUID:
    """The caller's id.

    Raises:
        NotAuthenticated: there is none.
    """
    user_id = caller_of(request).user_id
    if user_id is None:
        raise NotAuthenticated
    return user_id


def session_id_of(request: Request) -> UUID:
    """The session of a first-party token."""
    return UUID(caller_of(request).credential_id)
