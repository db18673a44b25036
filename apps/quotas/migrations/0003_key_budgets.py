"""Budgets of keys: what the holds of a key may come to, beside what its payer's account has."""

from django.conf import settings
from django.db import migrations, models

TABLES = """
-- A budget belongs to a key, or to several that replaced one another; the id is the first key's. The amounts are those
-- of the holds that name it. Every change is in the transaction of its hold's, after the account's and hold's locks.
CREATE TABLE quotas_key_budget (
    key_id  text PRIMARY KEY,
    held    bigint NOT NULL DEFAULT 0 CHECK (held >= 0),
    spent   bigint NOT NULL DEFAULT 0 CHECK (spent >= 0)
) WITH (fillfactor = 50);

ALTER TABLE quotas_hold ADD COLUMN budget_id text;      -- null: its key has no budget
CREATE INDEX quotas_hold_budget ON quotas_hold (budget_id) WHERE budget_id IS NOT NULL;

-- The functions are those of the other tables' policies; a budget is seen by whoever sees its key.
ALTER TABLE quotas_key_budget ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON quotas_key_budget
    USING (leaky_sees_all() OR EXISTS (SELECT FROM accounts_apikey WHERE accounts_apikey.id = key_id));

DO $$
DECLARE
    application name := current_setting('leaky.application_role');
BEGIN
    IF application = current_user OR NOT EXISTS (SELECT FROM pg_roles WHERE rolname = application) THEN
        RETURN;
    END IF;
    EXECUTE format('REVOKE ALL ON quotas_key_budget FROM %I', application);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE (held, spent) ON quotas_key_budget TO %I', application);
END
$$;
"""

STATE = [
    migrations.CreateModel(
        name="KeyBudget",
        fields=[
            ("key_id", models.CharField(editable=False, max_length=10, primary_key=True, serialize=False)),
            ("held", models.BigIntegerField(db_default=0)),
            ("spent", models.BigIntegerField(db_default=0)),
        ],
        options={"db_table": "quotas_key_budget", "default_permissions": ("view",)},
    ),
    migrations.AddField("hold", "budget_id", models.CharField(max_length=10, null=True)),
]


class Migration(migrations.Migration):
    dependencies = [("quotas", "0002_tenancy")]
    operations = [
        migrations.RunSQL(
            [("SELECT set_config('leaky.application_role', %s, true)", [settings.APP_ROLE]), TABLES],
            state_operations=STATE,
        ),
    ]
