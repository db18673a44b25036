"""Django's handle on this app."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """See the app's ``api`` for what it offers."""

    name = "apps.accounts"
    verbose_name = "Callers"
