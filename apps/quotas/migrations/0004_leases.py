"""Leases, lots and budgets in leases, from ``0004_leases.sql``; the models here only tell Django of them."""

from pathlib import Path

import django.contrib.postgres.fields
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

STATE = [
    migrations.CreateModel(
        name="Budget",
        fields=[
            ("id", models.TextField(editable=False, primary_key=True, serialize=False)),
            ("held", models.BigIntegerField(db_default=0)),
            ("leased", models.BigIntegerField(db_default=0)),
            ("spent", models.BigIntegerField(db_default=0)),
        ],
        options={
            "db_table": "quotas_budget",
            "default_permissions": ("view",),
        },
    ),
    migrations.CreateModel(
        name="Control",
        fields=[
            ("id", models.SmallIntegerField(primary_key=True, serialize=False)),
            ("ledger", models.UUIDField(editable=False)),
            ("generation", models.IntegerField(db_default=1)),
            ("closing_frozen", models.BooleanField(db_default=False)),
            ("frozen_because", models.TextField(blank=True)),
            ("tick", models.BigIntegerField(db_default=0)),
        ],
        options={
            "db_table": "quotas_control",
            "default_permissions": ("view", "change"),
        },
    ),
    migrations.CreateModel(
        name="DeadEvent",
        fields=[
            ("id", models.UUIDField(editable=False, primary_key=True, serialize=False)),
            ("shard", models.SmallIntegerField()),
            ("journal", models.TextField()),
            ("entry", models.TextField()),
            ("account_id", models.UUIDField(null=True)),
            ("fields", models.JSONField()),
            ("error", models.TextField()),
            ("tries", models.SmallIntegerField()),
            (
                "state",
                models.TextField(
                    choices=[("PARKED", "PARKED"), ("REPLAYED", "REPLAYED"), ("DISCARDED", "DISCARDED")],
                    db_default="PARKED",
                ),
            ),
            ("parked_at", models.DateTimeField()),
            ("decided_at", models.DateTimeField(null=True)),
            ("reason", models.TextField(blank=True)),
        ],
        options={
            "db_table": "quotas_dead_event",
            "default_permissions": ("view", "change"),
        },
    ),
    migrations.CreateModel(
        name="Lease",
        fields=[
            ("id", models.UUIDField(editable=False, primary_key=True, serialize=False)),
            ("epoch", models.BigIntegerField()),
            ("generation", models.IntegerField()),
            ("run_id", models.TextField(blank=True)),
            ("granted", models.BigIntegerField()),
            ("settled", models.BigIntegerField(db_default=0)),
            ("returned", models.BigIntegerField(db_default=0)),
            (
                "state",
                models.TextField(
                    choices=[("OPEN", "OPEN"), ("DOUBT", "DOUBT"), ("CLOSED", "CLOSED")], db_default="OPEN"
                ),
            ),
            ("doubt", models.TextField(blank=True)),
            ("opened_at", models.DateTimeField()),
            ("used_at", models.DateTimeField()),
            ("expires_at", models.DateTimeField()),
            ("expires_tick", models.BigIntegerField()),
            ("doubted_at", models.DateTimeField(null=True)),
            ("closed_at", models.DateTimeField(null=True)),
            ("journal", models.TextField(blank=True)),
            ("entry", models.TextField(blank=True)),
        ],
        options={
            "db_table": "quotas_lease",
            "default_permissions": ("view",),
        },
    ),
    migrations.CreateModel(
        name="LeasePart",
        fields=[
            ("id", models.UUIDField(editable=False, primary_key=True, serialize=False)),
            ("epoch", models.BigIntegerField()),
            ("tokens", models.BigIntegerField()),
            ("budgets", models.JSONField(default=dict)),
            ("made_at", models.DateTimeField()),
            ("opens", models.BooleanField()),
            ("applied", models.BooleanField(db_default=False)),
        ],
        options={
            "db_table": "quotas_lease_part",
            "default_permissions": ("view",),
        },
    ),
    migrations.CreateModel(
        name="Lot",
        fields=[
            ("id", models.UUIDField(editable=False, primary_key=True, serialize=False)),
            (
                "kind",
                models.TextField(
                    choices=[
                        ("grant", "grant"),
                        ("allowance", "allowance"),
                        ("purchase", "purchase"),
                        ("correction", "correction"),
                    ],
                    db_default="grant",
                ),
            ),
            ("tokens", models.BigIntegerField(db_default=0)),
            ("remaining", models.BigIntegerField(db_default=0)),
            ("expires_at", models.DateTimeField(null=True)),
            ("made_at", models.DateTimeField()),
            ("open", models.BooleanField(db_default=False, editable=False)),
        ],
        options={
            "db_table": "quotas_lot",
            "default_permissions": ("view",),
        },
    ),
    migrations.CreateModel(
        name="Spool",
        fields=[
            ("id", models.TextField(editable=False, primary_key=True, serialize=False)),
            ("host", models.TextField()),
            (
                "state",
                models.TextField(
                    choices=[("OPEN", "OPEN"), ("CLOSED", "CLOSED"), ("WRITTEN_OFF", "WRITTEN_OFF")], db_default="OPEN"
                ),
            ),
            ("pending", models.IntegerField(db_default=0)),
            ("registered_at", models.DateTimeField()),
            ("reported_at", models.DateTimeField()),
            ("reported_tick", models.BigIntegerField()),
            ("oldest_tick", models.BigIntegerField(null=True)),
            ("ended_at", models.DateTimeField(null=True)),
            ("reason", models.TextField(blank=True)),
        ],
        options={
            "db_table": "quotas_spool",
            "default_permissions": ("view", "change"),
        },
    ),
    migrations.DeleteModel(
        name="KeyBudget",
    ),
    migrations.RemoveField(
        model_name="hold",
        name="budget_id",
    ),
    migrations.AddField(
        model_name="account",
        name="epoch",
        field=models.BigIntegerField(db_default=0),
    ),
    migrations.AddField(
        model_name="account",
        name="spent_day",
        field=models.DateField(null=True),
    ),
    migrations.AddField(
        model_name="account",
        name="spent_on_day",
        field=models.BigIntegerField(db_default=0),
    ),
    migrations.AddField(
        model_name="hold",
        name="budgets",
        field=django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), db_default=[], size=None),
    ),
    migrations.AddField(
        model_name="hold",
        name="ending",
        field=models.JSONField(null=True),
    ),
    migrations.AddField(
        model_name="hold",
        name="epoch",
        field=models.BigIntegerField(null=True),
    ),
    migrations.AlterField(
        model_name="transfer",
        name="code",
        field=models.CharField(
            choices=[
                ("GRANT", "GRANT"),
                ("HOLD", "HOLD"),
                ("SETTLE", "SETTLE"),
                ("RELEASE", "RELEASE"),
                ("OVERRUN", "OVERRUN"),
                ("ABSORB", "ABSORB"),
                ("SETTLE_FIX", "SETTLE_FIX"),
                ("ABSORB_FIX", "ABSORB_FIX"),
                ("LEASE", "LEASE"),
                ("RETURN", "RETURN"),
                ("CLOSE", "CLOSE"),
                ("LATE", "LATE"),
                ("LATE_FIX", "LATE_FIX"),
                ("EXPIRE", "EXPIRE"),
                ("REVOKE", "REVOKE"),
            ],
            max_length=16,
        ),
    ),
    migrations.AddField(
        model_name="lease",
        name="account",
        field=models.ForeignKey(
            db_constraint=False,
            db_index=False,
            on_delete=django.db.models.deletion.PROTECT,
            related_name="leases",
            to="quotas.account",
        ),
    ),
    migrations.AddField(
        model_name="leasepart",
        name="account",
        field=models.ForeignKey(
            db_constraint=False,
            db_index=False,
            on_delete=django.db.models.deletion.PROTECT,
            related_name="+",
            to="quotas.account",
        ),
    ),
    migrations.AddField(
        model_name="lot",
        name="account",
        field=models.ForeignKey(
            db_constraint=False,
            db_index=False,
            on_delete=django.db.models.deletion.PROTECT,
            related_name="lots",
            to="quotas.account",
        ),
    ),
]


class Migration(migrations.Migration):
    dependencies = [("quotas", "0003_key_budgets")]
    operations = [
        migrations.RunSQL(
            [
                ("SELECT set_config('leaky.application_role', %s, true)", [settings.APP_ROLE]),
                Path(__file__).with_suffix(".sql").read_text(),
            ],
            state_operations=STATE,
        ),
    ]
