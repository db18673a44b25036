"""Django's handle on this app."""

from django.apps import AppConfig


class LimiterConfig(AppConfig):
    """See the app's ``api`` for what it offers."""

    name = "apps.limiter"
