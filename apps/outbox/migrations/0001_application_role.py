"""The application's privileges: in the lowest app that has tables, so that every other app's migrations can follow it."""

from pathlib import Path

from django.conf import settings
from django.db import migrations


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.RunSQL(
            [
                ("SELECT set_config('leaky.application_role', %s, true)", [settings.APP_ROLE]),
                Path(__file__).with_suffix(".sql").read_text(),
            ],
            migrations.RunSQL.noop,
        ),
    ]
