"""Routes of sign-in, sessions and API keys. All belong to the service ``auth``."""

from django.urls import URLPattern, URLResolver

app_name = "auth-accounts"
urlpatterns: list[URLPattern | URLResolver] = []
