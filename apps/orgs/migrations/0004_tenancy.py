"""Whose rows a connection sees; see ``0004_tenancy.sql``."""

from pathlib import Path

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("orgs", "0003_invitations_and_limits"),
        ("accounts", "0002_identity"),
        ("audit", "0002_append_only"),
    ]
    operations = [migrations.RunSQL(Path(__file__).with_suffix(".sql").read_text(), migrations.RunSQL.noop)]
