"""Django's handle on this app."""

from django.apps import AppConfig


class AuditConfig(AppConfig):
    """See the app's ``api`` for what it offers."""

    name = "apps.audit"
    verbose_name = "Audit"
