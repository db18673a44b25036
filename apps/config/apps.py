"""Django's handle on this app."""

from django.apps import AppConfig


class ConfigConfig(AppConfig):
    """See the app's ``api`` for what it offers."""

    name = "apps.config"
    verbose_name = "System"
