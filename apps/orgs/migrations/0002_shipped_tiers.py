"""The tiers that every installation starts with. An operator's changes of them are kept."""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

SHIPPED = (
    # name, tokens in the bucket, milli-tokens per second leaking out, priority, default
    ("USER", 100_000, 1_000_000, 10, True),
    ("ADMIN", 200_000, 2_000_000, 100, False),
)


def ship_tiers(apps: Apps, _schema_editor: BaseDatabaseSchemaEditor) -> None:
    tiers = apps.get_model("orgs", "Tier").objects
    for name, capacity, leak_rate, priority, is_default in SHIPPED:
        tiers.create(name=name, bucket_capacity=capacity, leak_rate=leak_rate, priority=priority, is_default=is_default)


class Migration(migrations.Migration):
    dependencies = [("orgs", "0001_initial")]
    operations = [migrations.RunPython(ship_tiers, migrations.RunPython.noop)]
