"""Django's handle on what every app shares."""

from django.apps import AppConfig


class CoreConfig(AppConfig):
    """Units, errors, events and ids. No tables, no business."""

    name = "apps.core"
