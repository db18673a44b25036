"""The ledger's tables as Django reads them.

The SQL files beside the migrations are their definition: keys led by the account, checks, triggers and privileges are there
and not here, and every write goes through :mod:`apps.quotas.services`. A row's ``id`` is a time-ordered UUID and unique
by itself; in the database the key of holds and transfers is (account, id), so that accounts can be split over servers.
"""

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models

from apps.quotas.domain import Code, Status


class Account(models.Model):
    """A payer's tokens with one provider. Its balances are changed by transfers only, in a trigger."""

    id = models.UUIDField(primary_key=True, editable=False)
    payer_kind = models.CharField(max_length=8, choices=[("user", "user"), ("org", "organisation")])
    payer_id = models.UUIDField()
    provider = models.CharField(max_length=64)
    suspended = models.BooleanField(db_default=False)
    granted = models.BigIntegerField(db_default=0)
    pending = models.BigIntegerField(db_default=0)
    available = models.BigIntegerField(db_default=0)
    leased = models.BigIntegerField(db_default=0)
    held = models.BigIntegerField(db_default=0)
    spent = models.BigIntegerField(db_default=0)
    expired = models.BigIntegerField(db_default=0)
    refunded = models.BigIntegerField(db_default=0)
    absorbed = models.BigIntegerField(db_default=0)
    epoch = models.BigIntegerField(db_default=0)
    spent_day = models.DateField(null=True)
    spent_on_day = models.BigIntegerField(db_default=0)

    class Meta:
        db_table = "quotas_account"
        default_permissions: ClassVar = ("view", "change")

    def __str__(self) -> str:
        return f"{self.payer_kind} {self.payer_id} at {self.provider}"


class Hold(models.Model):
    """Tokens set aside for one call, and how that ended."""

    id = models.UUIDField(primary_key=True, editable=False)
    account = models.ForeignKey(Account, models.PROTECT, related_name="holds", db_constraint=False, db_index=False)
    amount = models.BigIntegerField()
    status = models.CharField(max_length=8, choices=[(status.value, status.value) for status in Status])
    request_id = models.CharField(max_length=64)
    budgets = ArrayField(models.TextField(), db_default=[])
    epoch = models.BigIntegerField(null=True)
    facts = models.JSONField()
    ending = models.JSONField(null=True)
    progress = models.BigIntegerField(db_default=0)
    charged = models.BigIntegerField(db_default=0)
    absorbed = models.BigIntegerField(db_default=0)
    taken_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "quotas_hold"
        default_permissions: ClassVar = ("view",)

    def __str__(self) -> str:
        return str(self.id)


class Budget(models.Model):
    """What calls that count against a budget hold and have spent, and what leases have of it. Its size is elsewhere."""

    id = models.TextField(primary_key=True, editable=False)
    held = models.BigIntegerField(db_default=0)
    leased = models.BigIntegerField(db_default=0)
    spent = models.BigIntegerField(db_default=0)

    class Meta:
        db_table = "quotas_budget"
        default_permissions: ClassVar = ("view",)

    def __str__(self) -> str:
        return self.id


class Transfer(models.Model):
    """One whole entry of the ledger: ``amount`` tokens from ``debit`` to ``credit``. Never changed, never deleted."""

    id = models.UUIDField(primary_key=True, editable=False)
    account = models.ForeignKey(Account, models.PROTECT, related_name="transfers", db_constraint=False, db_index=False)
    code = models.CharField(max_length=16, choices=[(code.value, code.value) for code in Code])
    debit = models.CharField(max_length=16)
    credit = models.CharField(max_length=16)
    amount = models.BigIntegerField()
    ref = models.UUIDField()
    reason = models.TextField(blank=True)
    actor = models.TextField(blank=True)
    request_id = models.CharField(max_length=64, blank=True)
    at = models.DateTimeField()

    class Meta:
        db_table = "quotas_transfer"
        default_permissions: ClassVar = ("view",)

    def __str__(self) -> str:
        return f"{self.code} {self.amount}"
