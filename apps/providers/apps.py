"""Django's handle on this app."""

from django.apps import AppConfig


class ProvidersConfig(AppConfig):
    """See the app's ``api`` for what it offers."""

    name = "apps.providers"
    verbose_name = "Catalogue"
