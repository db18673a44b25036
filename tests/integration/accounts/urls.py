"""Routes of a process that serves ``auth``."""

from django.urls import include, path

from apps.core.http import errors

handler404 = errors.no_route
handler500 = errors.broken

urlpatterns = [path("", include("apps.accounts.rest.urls")), path("", include("apps.orgs.rest.urls"))]
