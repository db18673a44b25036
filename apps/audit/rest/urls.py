"""Routes of the audit trail. All belong to the service ``auth``."""

from django.urls import URLPattern, URLResolver

app_name = "auth-audit"
urlpatterns: list[URLPattern | URLResolver] = []
