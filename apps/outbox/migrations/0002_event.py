import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("outbox", "0001_application_role"),
    ]

    operations = [
        migrations.CreateModel(
            name="OutboxEvent",
            fields=[
                ("id", models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ("type", models.CharField(max_length=64)),
                ("version", models.PositiveSmallIntegerField()),
                ("aggregate_type", models.CharField(max_length=32)),
                ("aggregate_id", models.UUIDField()),
                ("occurred_at", models.DateTimeField()),
                ("traceparent", models.CharField(blank=True, max_length=64)),
                ("data", models.JSONField()),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                ("sent_at", models.DateTimeField(null=True)),
            ],
            options={
                "verbose_name": "event",
                "db_table": "outbox_event",
                "indexes": [
                    models.Index(
                        condition=models.Q(("sent_at__isnull", True)), fields=["created_at"], name="outbox_event_unsent"
                    )
                ],
            },
        ),
    ]
