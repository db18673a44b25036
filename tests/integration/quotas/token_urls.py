"""Routes of the tests here: those of the service token only."""

from django.urls import include, path

handler404 = "apps.core.http.errors.no_route"
urlpatterns = [path("", include("apps.quotas.rest.urls"))]
