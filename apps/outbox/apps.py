"""Django's handle on this app."""

from django.apps import AppConfig


class OutboxConfig(AppConfig):
    """See the app's ``api`` for what it offers."""

    name = "apps.outbox"
    verbose_name = "System"
