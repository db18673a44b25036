"""Routes of organisations and their members. All belong to the service ``auth``."""

from django.urls import URLPattern, URLResolver, path

from apps.orgs.rest.audit import AuditView

app_name = "auth-orgs"
urlpatterns: list[URLPattern | URLResolver] = [
    path("api/v1/audit", AuditView.as_view()),
]
