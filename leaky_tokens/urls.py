"""Routes of the process: those of the services that it serves, and its health."""

from django.conf import settings
from django.contrib import admin
from django.urls import URLPattern, URLResolver, path

from leaky_tokens import health

urlpatterns: list[URLPattern | URLResolver] = [
    path("livez", health.livez, name="livez"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", health.metrics, name="metrics"),
]

if "console" in settings.SERVICES:
    admin.site.index_title = "Operators' console"
    urlpatterns.append(path("admin/", admin.site.urls))
