"""Django's handle on this app."""

from django.apps import AppConfig


class QuotasConfig(AppConfig):
    """See the app's ``api`` for what it offers."""

    name = "apps.quotas"
    verbose_name = "Money"
