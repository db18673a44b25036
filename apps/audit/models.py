"""The record of who changed what. Append-only: the database refuses anything else."""

from django.db import models

from apps.core.ids import uuid7


class Entry(models.Model):
    """One change, written in the transaction that made it. ``before`` and ``after`` hold only what differs."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    at = models.DateTimeField(editable=False)
    actor_kind = models.CharField(max_length=20, editable=False)
    actor_id = models.CharField(max_length=64, editable=False)
    actor_name = models.CharField(max_length=254, editable=False)
    ip = models.CharField("from address", max_length=45, editable=False)
    request_id = models.CharField(max_length=64, editable=False)
    action = models.CharField(max_length=64, editable=False)
    subject_kind = models.CharField(max_length=40, editable=False)
    subject_id = models.CharField(max_length=64, editable=False)
    org_id = models.UUIDField("organisation", null=True, editable=False)
    before = models.JSONField(null=True, editable=False)
    after = models.JSONField(null=True, editable=False)
    reason = models.TextField(editable=False)

    class Meta:
        verbose_name = "audit entry"
        verbose_name_plural = "audit entries"
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["org_id", "-id"], name="audit_of_org"),
            models.Index(fields=["subject_id", "-id"], name="audit_of_subject"),
            models.Index(fields=["actor_id", "-id"], name="audit_of_actor"),
            models.Index(fields=["actor_name", "-id"], name="audit_of_actor_name"),
            models.Index(fields=["request_id"], name="audit_of_request"),
            models.Index(fields=["action", "-id"], name="audit_of_action"),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.subject_id}"
