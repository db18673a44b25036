"""WSGI entry of the services and the console."""

import os

from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "leaky_tokens.settings.prod")
application = get_wsgi_application()

get_resolver().url_patterns  # noqa: B018 (as in asgi.py)
