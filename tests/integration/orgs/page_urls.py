"""The invitation's page, and those that it leads to."""

from django.urls import include, path

urlpatterns = [
    path("account", include("apps.orgs.pages.urls")),
    path("account", include("apps.accounts.pages.urls")),
]
