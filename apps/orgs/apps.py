"""Django's handle on this app."""

from django.apps import AppConfig


class OrgsConfig(AppConfig):
    """See the app's ``api`` for what it offers."""

    name = "apps.orgs"
    verbose_name = "Callers"
