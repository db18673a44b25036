"""ASGI entry of the services and the console (the gateway has its own: ``gateway.asgi``)."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "leaky_tokens.settings.prod")
application = get_asgi_application()
