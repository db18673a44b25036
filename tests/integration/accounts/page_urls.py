"""The account's pages alone, as the service ``auth`` serves them."""

from django.urls import include, path

from apps.core.http.permissions import insist_on_permissions

urlpatterns = [path("account", include("apps.accounts.pages.urls"))]

insist_on_permissions(urlpatterns)
