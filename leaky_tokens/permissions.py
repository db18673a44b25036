"""``python -m leaky_tokens.permissions``: render who may call which route into ``docs/permissions.md``.

What views declare is the truth, and what the gateway passes on to them; a test fails when the page says anything else.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import django
from django.urls import get_resolver

from apps.core.http.caller import API_KEY, JWT, OAUTH2, SCOPES
from apps.core.http.permissions import Permission, Route, routes
from gateway import services

PAGE = Path(__file__).resolve().parent.parent / "docs" / "permissions.md"
KINDS = {JWT: "first-party token", OAUTH2: "OAuth2 token", API_KEY: "API key"}

INTRODUCTION = """# Who may call what

Every route declares one permission; a process does not start with a route that declares none. This page is rendered
from the declarations by `python -m leaky_tokens.permissions`. What the words mean is in [identity](identity.md).

A permission says which credentials count and what they must be allowed to do. Whether the thing that a path names is
the caller's is asked beside it: what is not is 404, as if it were not there. Which role in an organisation a change
needs is in [organisations](organisations.md). Model calls (`/v1/…`) need the scope `inference`.

Every process answers `/livez`, `/readyz` and `/metrics` to whoever reaches its port; the gateway passes none of them on
and shows its own `/metrics` to `GATEWAY_METRICS_NETWORKS` only. The console guards its pages itself: operators only.
"""


def render() -> str:
    """The page as it should be."""
    return "\n".join([INTRODUCTION, *_scopes(), *_routes(), *_gateway()])


def service_routes() -> list[Route]:
    """Every route of every service, by path and method."""
    found = routes(get_resolver("leaky_tokens.api_urls").url_patterns)
    return sorted(found, key=lambda route: (plain(route), route.method))


def plain(route: Route) -> str:
    """A route's path with its variables in braces; ``…``: whatever begins so and is nothing else."""
    named = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", route.path)
    return "/" + named.replace("^(/.*)?$", "/…")


def _scopes() -> Iterator[str]:
    yield from ("## Scopes", "", "| scope | what it allows |", "|---|---|")
    yield from (f"| `{scope}` | {words} |" for scope, words in SCOPES.items())
    yield ""


def _routes() -> Iterator[str]:
    yield from ("## Routes", "", "| method | path | who | scope |", "|---|---|---|---|")
    for route in service_routes():
        method = "any" if route.method == "*" else route.method
        yield f"| {method} | `{plain(route)}` | {_who(route.permission)} | {_scope(route.permission)} |"
    yield ""


def _who(permission: Permission | None) -> str:
    if permission is None:
        return "nobody: undeclared"
    if not permission.signed_in:
        return permission.name
    kinds = ", ".join(words for kind, words in KINDS.items() if kind in (permission.kinds or KINDS))
    return f"{kinds}; role {permission.role}" if permission.role else kinds


def _scope(permission: Permission | None) -> str:
    return f"`{permission.scope}`" if permission is not None and permission.scope else ""


def _gateway() -> Iterator[str]:
    yield from (
        "## What the gateway passes on", "",
        "The first line that covers a path counts; a path that none covers is 404. `**`: it, and all below it.", "",
        "| path | service | the gateway authenticates | of the credentials the service sees |", "|---|---|---|---|",
    )  # fmt: skip
    for route in services.TABLE:
        passed = ", ".join(sorted(f"`{name.decode()}`" for name in route.kind.passed)) or "nothing"
        authenticates = "yes" if route.kind.authenticates else "no"
        yield f"| `{route.pattern}` | {route.service} | {authenticates} | {passed} |"
    yield ""


if __name__ == "__main__":
    django.setup()
    PAGE.write_text(render())
