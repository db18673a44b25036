"""What the token API and the console's explanations read by."""

from django.db import migrations

INDEX = """
-- Leases that are not closed, of one account: what of its tokens is elsewhere.
CREATE INDEX quotas_lease_unclosed ON quotas_lease (account_id) WHERE state <> 'CLOSED';
"""


class Migration(migrations.Migration):
    dependencies = [("quotas", "0010_orders")]
    operations = [
        migrations.RunSQL(INDEX, "DROP INDEX quotas_lease_unclosed"),
        migrations.CreateModel(
            name="ExplainedRequest",
            fields=[],
            options={
                "verbose_name": "explanation",
                "proxy": True,
                "default_permissions": ("view",),
                "indexes": [],
                "constraints": [],
            },
            bases=("quotas.hold",),
        ),
    ]
