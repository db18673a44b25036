"""Routes of sign-in, sessions and API keys. All belong to the service ``auth``."""

from django.urls import URLPattern, URLResolver, path

from apps.accounts.rest.api_keys import ValidateApiKeyView

app_name = "auth-accounts"
urlpatterns: list[URLPattern | URLResolver] = [
    path("api/v1/auth/api-keys/validate", ValidateApiKeyView.as_view()),
]
