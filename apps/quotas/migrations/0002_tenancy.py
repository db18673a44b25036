"""The ledger's rows are seen by the payer they are of, and by the members of a paying organisation."""

from django.db import migrations

POLICIES = """
ALTER TABLE quotas_account ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON quotas_account
    USING (
        leaky_sees_all() OR (payer_kind = 'user' AND payer_id = leaky_user())
        OR (payer_kind = 'org' AND payer_id IN (SELECT leaky_orgs()))
    );

ALTER TABLE quotas_hold ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON quotas_hold
    USING (leaky_sees_all() OR EXISTS (SELECT FROM quotas_account WHERE quotas_account.id = account_id));

ALTER TABLE quotas_transfer ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON quotas_transfer
    USING (leaky_sees_all() OR EXISTS (SELECT FROM quotas_account WHERE quotas_account.id = account_id));
"""


class Migration(migrations.Migration):
    dependencies = [("quotas", "0001_ledger"), ("orgs", "0004_tenancy")]
    operations = [migrations.RunSQL(POLICIES, migrations.RunSQL.noop)]
