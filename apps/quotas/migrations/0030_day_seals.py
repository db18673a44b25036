"""A seal on each day's transfers, so that whoever rewrites them is found out."""

import django.db.models.functions
from django.conf import settings
from django.db import migrations, models

RULES = """
-- Days are read whole; transfers lie in the order of their time, which is what this kind of index is for.
CREATE INDEX quotas_transfer_at ON quotas_transfer USING brin (at);

ALTER TABLE quotas_day_seal ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON quotas_day_seal USING (leaky_sees_all());

CREATE TRIGGER quotas_day_seal_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON quotas_day_seal
    FOR EACH STATEMENT EXECUTE FUNCTION quotas_refuse('seals are never broken by us');

DO $$
DECLARE
    application name := current_setting('leaky.application_role');
BEGIN
    IF application = current_user OR NOT EXISTS (SELECT FROM pg_roles WHERE rolname = application) THEN
        RETURN;
    END IF;
    EXECUTE format('REVOKE ALL ON quotas_day_seal FROM %I', application);
    EXECUTE format('GRANT SELECT, INSERT ON quotas_day_seal TO %I', application);
END
$$;
"""


class Migration(migrations.Migration):
    dependencies = [("quotas", "0020_reading")]
    operations = [
        migrations.CreateModel(
            "DaySeal",
            [
                ("day", models.DateField(editable=False, primary_key=True, serialize=False)),
                ("transfers", models.BigIntegerField()),
                ("digest", models.BinaryField(editable=True)),
                ("sealed_at", models.DateTimeField(db_default=django.db.models.functions.Now())),
            ],
            options={"db_table": "quotas_day_seal", "default_permissions": ("view",), "verbose_name": "sealed day"},
        ),
        migrations.RunSQL(
            [("SELECT set_config('leaky.application_role', %s, true)", [settings.APP_ROLE]), RULES],
            "DROP INDEX quotas_transfer_at",
        ),
    ]
