"""Versions of what gateways keep in memory."""

from django.db import models
from django.db.models.functions import Now


class ConfigVersion(models.Model):
    """How often a topic has changed. One row per topic: the row's lock puts changes of a topic in commit order."""

    topic = models.CharField(max_length=40, primary_key=True)
    version = models.BigIntegerField(default=0, help_text="Rises by one with every committed change.")
    changed_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name = "configuration version"
        ordering = ["topic"]

    def __str__(self) -> str:
        return f"{self.topic}:{self.version}"
