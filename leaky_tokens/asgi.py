"""ASGI entry of the services and the console (the gateway has its own: ``gateway.asgi``)."""

import os

from django.core.asgi import get_asgi_application
from django.urls import get_resolver

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "leaky_tokens.settings.prod")
application = get_asgi_application()

# The routes are loaded now, not with the first request: one without a declared permission stops the start.
get_resolver().url_patterns  # noqa: B018
