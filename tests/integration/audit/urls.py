"""The routes of the service ``auth`` that read the trail."""

from django.urls import include, path

urlpatterns = [path("", include("apps.orgs.rest.urls"))]
