"""Routes of organisations, their members, and keys. All belong to the service ``auth``."""

from django.urls import URLPattern, URLResolver, path

from apps.orgs.rest import api_keys

app_name = "auth-orgs"
urlpatterns: list[URLPattern | URLResolver] = [
    path("api/v1/auth/api-keys", api_keys.ApiKeysView.as_view()),
    path("api/v1/auth/api-keys/<str:key_id>", api_keys.ApiKeyView.as_view()),
    path("api/v1/auth/api-keys/<str:key_id>/rotate", api_keys.RotateApiKeyView.as_view()),
]
