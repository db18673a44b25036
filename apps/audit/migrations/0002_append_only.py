"""The trail only grows; see ``0002_append_only.sql``."""

from pathlib import Path

from django.conf import settings
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("audit", "0001_initial")]
    operations = [
        migrations.RunSQL(
            [
                ("SELECT set_config('leaky.application_role', %s, true)", [settings.APP_ROLE]),
                Path(__file__).with_suffix(".sql").read_text(),
            ],
            migrations.RunSQL.noop,
        ),
    ]
