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


class ConfigChange(models.Model):
    """Whom one change of a topic concerned. A version without rows concerned everybody, or is too old to be kept."""

    topic = models.CharField(max_length=40)
    version = models.BigIntegerField()
    subject = models.CharField(max_length=100, help_text="As in user:<id>, org:<id>, key:<id>, client:<id>.")
    changed_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name = "configuration change"
        constraints = [
            models.UniqueConstraint(fields=["topic", "version", "subject"], name="config_change_once"),
        ]
        indexes = [models.Index(fields=["topic", "changed_at"], name="config_change_by_age")]

    def __str__(self) -> str:
        return f"{self.topic}:{self.version} {self.subject}"
