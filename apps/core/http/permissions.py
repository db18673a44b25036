"""One declared permission per route and method: who may call it, with which scope. A route without one stops start-up.

Whether an object is the caller's is not decided here: selectors find only what is, so that what is not is 404.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from django.urls import URLPattern, URLResolver
from rest_framework.exceptions import MethodNotAllowed, NotAuthenticated, PermissionDenied
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from apps.core.errors import ConfigurationError
from apps.core.http.caller import JWT, Caller

ATTRIBUTE = "leaky_permission"
"""Where a view that is not of Django REST framework carries its declaration."""

View = TypeVar("View", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Permission:
    """Who may call a route.

    ``scope`` is what an OAuth2 token or API key must carry (a first-party token carries all). ``role`` is what the user
    must have. ``kinds`` are the credentials that count; empty means all.
    """

    name: str
    signed_in: bool = True
    scope: str = ""
    role: str = ""
    kinds: frozenset[str] = frozenset()


ANYONE = Permission("anyone", signed_in=False)
"""Nobody needs to be signed in."""

SIGNED_IN = Permission("signed in")
"""Any good credential."""

FIRST_PARTY = Permission("signed in by password", kinds=frozenset({JWT}))
"""For what only the person may do: a leaked key or a consented application must not."""

BROWSER = Permission("browser session", signed_in=False)
"""Pages: the session cookie and CSRF token decide, in the view."""

CLIENT = Permission("OAuth2 client", signed_in=False)
"""OAuth2 endpoints: the protocol's own client or token authentication decides, in the view."""

STAFF = Permission("operator", signed_in=False)
"""The console: Django's admin decides."""


def needs(scope: str, *, role: str = "") -> Permission:
    """A good credential that may do ``scope``, of a user with ``role`` (empty: any)."""
    return Permission(f"{scope} {role}".strip(), scope=scope, role=role)


def declare(permission: Permission, view: View) -> View:
    """Declare the permission of a view that is not of Django REST framework."""
    setattr(view, ATTRIBUTE, permission)
    return view


class Declared(BasePermission):
    """Holds a request against what its view declares."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """True, or the refusal.

        Raises:
            MethodNotAllowed: 405, the route does not take it.
            NotAuthenticated: 401, nobody is signed in.
            PermissionDenied: 403 ``insufficient_scope``, or the role is missing.
        """
        declared: Mapping[str, Permission] = view.permissions  # type: ignore[attr-defined]
        permission = declared.get(str(request.method))
        if permission is None:
            raise MethodNotAllowed(str(request.method))
        if not permission.signed_in:
            return True
        caller = cast("Caller", request.user)
        if not caller.is_authenticated:
            raise NotAuthenticated
        if permission.kinds and caller.kind not in permission.kinds:
            raise PermissionDenied("Sign in with name and password for this.", "first_party_only")
        if permission.scope and permission.scope not in caller.scopes:
            raise PermissionDenied(f"The credential lacks the scope {permission.scope}.", "insufficient_scope")
        if permission.role and not caller.has_role(permission.role):
            raise PermissionDenied(f"This needs the role {permission.role}.", "missing_role")
        return True


@dataclass(frozen=True, slots=True)
class Route:
    """One way in: a path's pattern, a method, and what is declared for it (None: nothing)."""

    path: str
    method: str
    permission: Permission | None
    namespace: str


def routes(patterns: Sequence[URLPattern | URLResolver], prefix: str = "", namespace: str = "") -> Iterator[Route]:
    """Every route under ``patterns``. Django's admin counts as one, because it guards its own."""
    for pattern in patterns:
        path = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            space = pattern.namespace or namespace
            if pattern.app_name == "admin":
                yield Route(path, "*", STAFF, "admin")
            else:
                yield from routes(pattern.url_patterns, path, space)
        else:
            yield from _of_view(path, pattern.callback, namespace)


def _of_view(path: str, view: Any, namespace: str) -> Iterator[Route]:
    api_view = getattr(view, "cls", None)
    if api_view is None:
        yield Route(path, "*", getattr(view, ATTRIBUTE, None), namespace)
        return
    declared = getattr(api_view, "permissions", {})
    for method in api_view.http_method_names:
        if method != "options" and hasattr(api_view, method):
            yield Route(path, method.upper(), declared.get(method.upper()), namespace)


def insist_on_permissions(patterns: Sequence[URLPattern | URLResolver]) -> None:
    """Refuse to start with a route that nobody has thought about.

    Raises:
        ConfigurationError: naming them.
    """
    missing = [f"{route.method} /{route.path}" for route in routes(patterns) if route.permission is None]
    if missing:
        raise ConfigurationError(f"routes without a declared permission: {', '.join(missing)}")
