"""The ledger's tables, from ``0001_ledger.sql``; the models here only tell Django of them. There is no way back."""

from pathlib import Path

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

STATE = [
    migrations.CreateModel(
        name="Account",
        fields=[
            ("id", models.UUIDField(editable=False, primary_key=True, serialize=False)),
            ("payer_kind", models.CharField(choices=[("user", "user"), ("org", "organisation")], max_length=8)),
            ("payer_id", models.UUIDField()),
            ("provider", models.CharField(max_length=64)),
            ("suspended", models.BooleanField(db_default=False)),
            ("granted", models.BigIntegerField(db_default=0)),
            ("pending", models.BigIntegerField(db_default=0)),
            ("available", models.BigIntegerField(db_default=0)),
            ("leased", models.BigIntegerField(db_default=0)),
            ("held", models.BigIntegerField(db_default=0)),
            ("spent", models.BigIntegerField(db_default=0)),
            ("expired", models.BigIntegerField(db_default=0)),
            ("refunded", models.BigIntegerField(db_default=0)),
            ("absorbed", models.BigIntegerField(db_default=0)),
        ],
        options={
            "db_table": "quotas_account",
            "default_permissions": ("view", "change"),
        },
    ),
    migrations.CreateModel(
        name="Hold",
        fields=[
            ("id", models.UUIDField(editable=False, primary_key=True, serialize=False)),
            ("amount", models.BigIntegerField()),
            (
                "status",
                models.CharField(
                    choices=[
                        ("HELD", "HELD"),
                        ("SETTLED", "SETTLED"),
                        ("RELEASED", "RELEASED"),
                        ("EXPIRED", "EXPIRED"),
                    ],
                    max_length=8,
                ),
            ),
            ("request_id", models.CharField(max_length=64)),
            ("facts", models.JSONField()),
            ("progress", models.BigIntegerField(db_default=0)),
            ("charged", models.BigIntegerField(db_default=0)),
            ("absorbed", models.BigIntegerField(db_default=0)),
            ("taken_at", models.DateTimeField()),
            ("expires_at", models.DateTimeField()),
            ("ended_at", models.DateTimeField(null=True)),
            (
                "account",
                models.ForeignKey(
                    db_constraint=False,
                    db_index=False,
                    on_delete=django.db.models.deletion.PROTECT,
                    related_name="holds",
                    to="quotas.account",
                ),
            ),
        ],
        options={
            "db_table": "quotas_hold",
            "default_permissions": ("view",),
        },
    ),
    migrations.CreateModel(
        name="Transfer",
        fields=[
            ("id", models.UUIDField(editable=False, primary_key=True, serialize=False)),
            (
                "code",
                models.CharField(
                    choices=[
                        ("GRANT", "GRANT"),
                        ("HOLD", "HOLD"),
                        ("SETTLE", "SETTLE"),
                        ("RELEASE", "RELEASE"),
                        ("OVERRUN", "OVERRUN"),
                        ("ABSORB", "ABSORB"),
                        ("SETTLE_FIX", "SETTLE_FIX"),
                        ("ABSORB_FIX", "ABSORB_FIX"),
                    ],
                    max_length=16,
                ),
            ),
            ("debit", models.CharField(max_length=16)),
            ("credit", models.CharField(max_length=16)),
            ("amount", models.BigIntegerField()),
            ("ref", models.UUIDField()),
            ("reason", models.TextField(blank=True)),
            ("actor", models.TextField(blank=True)),
            ("request_id", models.CharField(blank=True, max_length=64)),
            ("at", models.DateTimeField()),
            (
                "account",
                models.ForeignKey(
                    db_constraint=False,
                    db_index=False,
                    on_delete=django.db.models.deletion.PROTECT,
                    related_name="transfers",
                    to="quotas.account",
                ),
            ),
        ],
        options={
            "db_table": "quotas_transfer",
            "default_permissions": ("view",),
        },
    ),
]


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("outbox", "0001_application_role"),
    ]

    operations = [
        migrations.RunSQL(
            [
                ("SELECT set_config('leaky.application_role', %s, true)", [settings.APP_ROLE]),
                Path(__file__).with_suffix(".sql").read_text(),
            ],
            state_operations=STATE,
        ),
    ]
