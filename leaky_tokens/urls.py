"""Routes of the process: those of the services that it serves, and its health."""

from django.conf import settings
from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

from apps.core.http import errors
from apps.core.http.permissions import ANYONE, declare, insist_on_permissions
from leaky_tokens import health

handler404 = errors.no_route
handler500 = errors.broken

urlpatterns: list[URLPattern | URLResolver] = [
    path("livez", declare(ANYONE, health.livez), name="livez"),
    path("readyz", declare(ANYONE, health.readyz), name="readyz"),
    path("metrics", declare(ANYONE, health.metrics), name="metrics"),
]

if "auth" in settings.SERVICES:
    urlpatterns += [
        path("", include("apps.accounts.rest.urls")),
        path("", include("apps.orgs.rest.urls")),
        path("", include("apps.audit.rest.urls")),
        path("account", include("apps.orgs.pages.urls")),
        path("account", include("apps.accounts.pages.urls")),
    ]

if "console" in settings.SERVICES:
    admin.site.index_title = "Operators' console"
    urlpatterns.append(path("admin/", admin.site.urls))

insist_on_permissions(urlpatterns)
