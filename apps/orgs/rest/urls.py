"""Routes of organisations and their members. All belong to the service ``auth``."""

from django.urls import URLPattern, URLResolver

app_name = "auth-orgs"
urlpatterns: list[URLPattern | URLResolver] = []
