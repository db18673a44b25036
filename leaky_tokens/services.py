"""The routes of each service, by its name in ``LEAKY_SERVICES``."""

from django.urls import URLPattern, URLResolver, include, path

Routes = list[URLPattern | URLResolver]


def routes_of(service: str) -> Routes:
    """A service's routes; none for a service whose API is still to come."""
    return {"auth": _auth, "token": _token}.get(service, list)()


def _auth() -> Routes:
    return [
        path("", include("apps.accounts.rest.urls")),
        path("", include("apps.accounts.oauth.urls")),  # at the top: the library looks its namespace up there
        path("", include("apps.orgs.rest.urls")),
        path("account", include("apps.orgs.pages.urls")),
        path("account", include("apps.accounts.pages.urls")),  # after the others: it answers for all of /account
        path("", include("leaky_tokens.openapi.views")),
    ]


def _token() -> Routes:
    return [path("", include("apps.quotas.rest.urls"))]
