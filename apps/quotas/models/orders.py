"""What operators order for accounts, as Django reads and writes it; see :mod:`apps.quotas.orders`."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from apps.core.ids import uuid7


class Order(models.Model):
    """What an operator wants done to an account, and what became of it. Its id is that of the grant or revocation."""

    class Kind(models.TextChoices):
        """What is wanted."""

        GRANT = "GRANT", "Grant"
        REVOKE = "REVOKE", "Revoke"
        CORRECT = "CORRECT", "Correct"

    class Status(models.TextChoices):
        """``APPROVED``: tokens that are out with calls are still being taken back. The last four are final."""

        PENDING = "PENDING"
        APPROVED = "APPROVED"
        DONE = "DONE"
        REJECTED = "REJECTED"
        EXPIRED = "EXPIRED"
        FAILED = "FAILED"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.CharField(max_length=8, choices=Kind, default=Kind.GRANT)
    payer_kind = models.CharField("payer", max_length=4, choices=[("user", "user"), ("org", "organisation")])
    payer_id = models.UUIDField("payer id", help_text="Id of the user or organisation.")
    provider = models.SlugField(max_length=64, help_text="The provider's short name, as in openai.")
    account_id = models.UUIDField(editable=False)
    tokens = models.BigIntegerField(help_text="As charged, after weights. A correction that takes is negative.")
    expires_at = models.DateTimeField(
        "the tokens expire", null=True, blank=True, help_text="UTC, grants only; empty: they do not expire."
    )
    reason = models.CharField(max_length=500, help_text="Why. The ledger and the audit trail keep it.")
    status = models.CharField(max_length=8, choices=Status, default=Status.PENDING, editable=False)
    moved = models.BigIntegerField(default=0, editable=False, help_text="Tokens that were given or taken so far.")
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, editable=False, related_name="+"
    )
    requester = models.CharField(max_length=200, editable=False, help_text="Their name, or the command's.")
    requested_at = models.DateTimeField(db_default=Now(), editable=False)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, editable=False, related_name="+"
    )
    decided_at = models.DateTimeField(null=True, editable=False)
    outcome = models.TextField(blank=True, editable=False, help_text="What the decision said, or what went wrong.")

    class Meta:
        db_table = "quotas_order"
        default_permissions: ClassVar = ("view", "add")
        permissions: ClassVar = [("approve_order", "Can approve and reject others' orders")]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(tokens__gt=0) | models.Q(kind="CORRECT", tokens__lt=0), name="quotas_order_tokens"
            ),
            models.CheckConstraint(
                condition=models.Q(expires_at=None) | models.Q(kind="GRANT"), name="quotas_order_expiry"
            ),
            models.CheckConstraint(condition=~models.Q(reason=""), name="quotas_order_reason"),
            models.CheckConstraint(
                condition=models.Q(decided_by=None) | ~models.Q(decided_by=models.F("requested_by")),
                name="quotas_order_second_person",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["account_id"], name="quotas_order_account"),
            models.Index(fields=["payer_id"], name="quotas_order_payer"),
            models.Index(fields=["requester", "requested_at"], name="quotas_order_requester"),
            models.Index(
                fields=["requested_at"],
                condition=models.Q(status__in=["PENDING", "APPROVED"]),
                name="quotas_order_open",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.tokens:,} {self.provider} tokens, {self.payer_kind} {self.payer_id}"
