"""The tables of leases, lots and what keeps them right, as Django reads them; see :mod:`apps.quotas.models`.

Keys of several columns are the database's: here the column that a list is searched by stands for them.
"""

from typing import ClassVar

from django.db import models

from apps.quotas.models.ledger import Account


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
    generation = models.IntegerField(db_default=1)
    closing_frozen = models.BooleanField(db_default=False)
    frozen_because = models.TextField(blank=True)
    tick = models.BigIntegerField(db_default=0)

    class Meta:
        db_table = "quotas_control"
        default_permissions: ClassVar = ("view", "change")

    def __str__(self) -> str:
        return f"generation {self.generation}"
