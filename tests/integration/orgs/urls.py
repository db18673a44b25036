"""Routes of the tests here: those of organisations only."""

from django.urls import include, path

handler404 = "apps.core.http.errors.no_route"
urlpatterns = [path("", include("apps.orgs.rest.urls"))]
