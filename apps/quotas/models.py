"""The ledger's tables as Django reads them.

The SQL files beside the migrations are their definition: keys led by the account, checks, triggers and privileges are
there and not here, and every write goes through :mod:`apps.quotas.services`. A row's ``id`` is a time-ordered UUID
and unique by itself; in the database the key of holds and transfers is (account, id), so that accounts can be split
over servers.
"""

from typing import ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from apps.core.ids import uuid7
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


class DaySeal(models.Model):
    """A day's transfers (UTC), how many and by their SHA-256, chained to the day before. Never changed."""

    day = models.DateField(primary_key=True, editable=False)
    transfers = models.BigIntegerField()
    digest = models.BinaryField(editable=True)
    sealed_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "quotas_day_seal"
        default_permissions: ClassVar = ("view",)
        verbose_name = "sealed day"

    def __str__(self) -> str:
        return str(self.day)


class Lot(models.Model):
    """A grant and what remains of it. Changed by transfers only, in a trigger; what expires first is spent first."""

    id = models.UUIDField(primary_key=True, editable=False)
    account = models.ForeignKey(Account, models.PROTECT, related_name="lots", db_constraint=False, db_index=False)
    kind = models.TextField(
        choices=[(kind, kind) for kind in ("grant", "allowance", "purchase", "correction")], db_default="grant"
    )
    tokens = models.BigIntegerField(db_default=0)
    remaining = models.BigIntegerField(db_default=0)
    expires_at = models.DateTimeField(null=True)
    made_at = models.DateTimeField()
    open = models.BooleanField(editable=False, db_default=False)

    class Meta:
        db_table = "quotas_lot"
        default_permissions: ClassVar = ("view",)

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"


class Lease(models.Model):
    """Tokens that an account has given to Valkey to spend. Its ``id`` is derived from account and epoch."""

    id = models.UUIDField(primary_key=True, editable=False)
    account = models.ForeignKey(Account, models.PROTECT, related_name="leases", db_constraint=False, db_index=False)
    epoch = models.BigIntegerField()
    generation = models.IntegerField()
    run_id = models.TextField(blank=True)
    granted = models.BigIntegerField()
    settled = models.BigIntegerField(db_default=0)
    returned = models.BigIntegerField(db_default=0)
    state = models.TextField(choices=[(state, state) for state in ("OPEN", "DOUBT", "CLOSED")], db_default="OPEN")
    doubt = models.TextField(blank=True)
    opened_at = models.DateTimeField()
    used_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    expires_tick = models.BigIntegerField()
    doubted_at = models.DateTimeField(null=True)
    closed_at = models.DateTimeField(null=True)
    journal = models.TextField(blank=True)
    entry = models.TextField(blank=True)

    class Meta:
        db_table = "quotas_lease"
        default_permissions: ClassVar = ("view",)

    def __str__(self) -> str:
        return f"{self.account_id} {self.epoch}"


class LeasePart(models.Model):
    """One debit of a lease."""

    id = models.UUIDField(primary_key=True, editable=False)
    account = models.ForeignKey(Account, models.PROTECT, related_name="+", db_constraint=False, db_index=False)
    epoch = models.BigIntegerField()
    tokens = models.BigIntegerField()
    budgets = models.JSONField(default=dict)
    made_at = models.DateTimeField()
    opens = models.BooleanField()
    applied = models.BooleanField(db_default=False)

    class Meta:
        db_table = "quotas_lease_part"
        default_permissions: ClassVar = ("view",)

    def __str__(self) -> str:
        return str(self.id)


class Spool(models.Model):
    """A gateway process's spool: when it last reported, and since when it waits for the ledger (ledger's clock, ms)."""

    id = models.TextField(primary_key=True, editable=False)
    host = models.TextField()
    state = models.TextField(choices=[(state, state) for state in ("OPEN", "CLOSED", "WRITTEN_OFF")], db_default="OPEN")
    pending = models.IntegerField(db_default=0)
    registered_at = models.DateTimeField()
    reported_at = models.DateTimeField()
    reported_tick = models.BigIntegerField()
    oldest_tick = models.BigIntegerField(null=True)
    ended_at = models.DateTimeField(null=True)
    reason = models.TextField(blank=True)

    class Meta:
        db_table = "quotas_spool"
        default_permissions: ClassVar = ("view", "change")

    def __str__(self) -> str:
        return self.id


class DeadEvent(models.Model):
    """A journal entry that could not be booked, parked for a person to decide on."""

    id = models.UUIDField(primary_key=True, editable=False)
    shard = models.SmallIntegerField()
    journal = models.TextField()
    entry = models.TextField()
    account_id = models.UUIDField(null=True)
    fields = models.JSONField()
    error = models.TextField()
    tries = models.SmallIntegerField()
    state = models.TextField(
        choices=[(state, state) for state in ("PARKED", "REPLAYED", "DISCARDED")], db_default="PARKED"
    )
    parked_at = models.DateTimeField()
    decided_at = models.DateTimeField(null=True)
    reason = models.TextField(blank=True)

    class Meta:
        db_table = "quotas_dead_event"
        default_permissions: ClassVar = ("view", "change")

    def __str__(self) -> str:
        return f"{self.shard} {self.entry}"


class Control(models.Model):
    """One row: the ledger's generation, whether closing is frozen, and the ledger's own clock."""

    id = models.SmallIntegerField(primary_key=True)
    ledger = models.UUIDField(editable=False)
    generation = models.IntegerField(db_default=1)
    closing_frozen = models.BooleanField(db_default=False)
    frozen_because = models.TextField(blank=True)
    tick = models.BigIntegerField(db_default=0)

    class Meta:
        db_table = "quotas_control"
        verbose_name = verbose_name_plural = "ledger"
        default_permissions: ClassVar = ("view", "change")

    def __str__(self) -> str:
        return f"generation {self.generation}"


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
    requester = models.CharField(
        "ordered by", max_length=200, editable=False, help_text="Their name, or the command's."
    )
    requested_at = models.DateTimeField("ordered at", db_default=Now(), editable=False)
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
        wanted = f"{self.get_kind_display()} {self.tokens:,} {self.provider} tokens"
        return f"{wanted}, {self.payer_kind} {self.payer_id}: {self.reason}"


class ExplainedRequest(Hold):
    """What the console's page about one request stands for: calls, found by their request."""

    class Meta:
        proxy = True
        verbose_name = "explanation"
        default_permissions: ClassVar = ("view",)
