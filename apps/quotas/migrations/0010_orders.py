"""What operators order for accounts, and who approved it; what the console's lists are sorted and searched by."""

from django.conf import settings
from django.db import migrations, models
from django.db.models.deletion import PROTECT
from django.db.models.functions import Now

import apps.core.ids

# An order is the operators' own; payers see its transfers. What was ordered is never changed, and nothing is deleted.
RULES = """
ALTER TABLE quotas_order ENABLE ROW LEVEL SECURITY;
CREATE POLICY operators ON quotas_order USING (leaky_sees_all());

CREATE TRIGGER quotas_order_kept BEFORE DELETE OR TRUNCATE ON quotas_order
    FOR EACH STATEMENT EXECUTE FUNCTION quotas_refuse('orders are kept, because the ledger refers to them');
CREATE TRIGGER quotas_order_as_ordered BEFORE UPDATE OF
    id, kind, payer_kind, payer_id, provider, account_id, tokens, expires_at, reason, requested_by_id, requester,
    requested_at ON quotas_order
    FOR EACH STATEMENT EXECUTE FUNCTION quotas_refuse('what was ordered stays as it was ordered');
CREATE TRIGGER quotas_order_final BEFORE UPDATE ON quotas_order
    FOR EACH ROW WHEN (OLD.status IN ('DONE', 'REJECTED', 'EXPIRED', 'FAILED'))
    EXECUTE FUNCTION quotas_refuse('the order has ended');
"""
# The console: newest first, and members' budgets by their beginning.
INDICES = """
CREATE INDEX quotas_lot_made ON quotas_lot (made_at);
CREATE INDEX quotas_lease_opened ON quotas_lease (opened_at);
CREATE INDEX quotas_budget_prefix ON quotas_budget (id text_pattern_ops);
"""
ENDS = ["PENDING", "APPROVED", "DONE", "REJECTED", "EXPIRED", "FAILED"]


class Migration(migrations.Migration):
    dependencies = [
        ("quotas", "0004_leases"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]
    operations = [
        migrations.CreateModel(
            "Order",
            [
                (
                    "id",
                    models.UUIDField(default=apps.core.ids.uuid7, editable=False, primary_key=True, serialize=False),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[("GRANT", "Grant"), ("REVOKE", "Revoke"), ("CORRECT", "Correct")],
                        default="GRANT",
                        max_length=8,
                    ),
                ),
                (
                    "payer_kind",
                    models.CharField(
                        choices=[("user", "user"), ("org", "organisation")], max_length=4, verbose_name="payer"
                    ),
                ),
                (
                    "payer_id",
                    models.UUIDField(help_text="Id of the user or organisation.", verbose_name="payer id"),
                ),
                (
                    "provider",
                    models.SlugField(help_text="The provider's short name, as in openai.", max_length=64),
                ),
                ("account_id", models.UUIDField(editable=False)),
                (
                    "tokens",
                    models.BigIntegerField(help_text="As charged, after weights. A correction that takes is negative."),
                ),
                (
                    "expires_at",
                    models.DateTimeField(
                        blank=True,
                        help_text="UTC, grants only; empty: they do not expire.",
                        null=True,
                        verbose_name="the tokens expire",
                    ),
                ),
                (
                    "reason",
                    models.CharField(help_text="Why. The ledger and the audit trail keep it.", max_length=500),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[(word, word.capitalize()) for word in ENDS],
                        default="PENDING",
                        editable=False,
                        max_length=8,
                    ),
                ),
                (
                    "moved",
                    models.BigIntegerField(
                        default=0, editable=False, help_text="Tokens that were given or taken so far."
                    ),
                ),
                (
                    "requester",
                    models.CharField(
                        editable=False,
                        help_text="Their name, or the command's.",
                        max_length=200,
                        verbose_name="ordered by",
                    ),
                ),
                (
                    "requested_at",
                    models.DateTimeField(db_default=Now(), editable=False, verbose_name="ordered at"),
                ),
                ("decided_at", models.DateTimeField(editable=False, null=True)),
                (
                    "outcome",
                    models.TextField(
                        blank=True, editable=False, help_text="What the decision said, or what went wrong."
                    ),
                ),
                (
                    "requested_by",
                    models.ForeignKey(
                        editable=False,
                        null=True,
                        on_delete=PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "decided_by",
                    models.ForeignKey(
                        editable=False,
                        null=True,
                        on_delete=PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "db_table": "quotas_order",
                "default_permissions": ("view", "add"),
                "permissions": [("approve_order", "Can approve and reject others' orders")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(tokens__gt=0) | models.Q(kind="CORRECT", tokens__lt=0),
                        name="quotas_order_tokens",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(expires_at=None) | models.Q(kind="GRANT"), name="quotas_order_expiry"
                    ),
                    models.CheckConstraint(condition=~models.Q(reason=""), name="quotas_order_reason"),
                    models.CheckConstraint(
                        condition=models.Q(decided_by=None) | ~models.Q(decided_by=models.F("requested_by")),
                        name="quotas_order_second_person",
                    ),
                ],
                "indexes": [
                    models.Index(fields=["account_id"], name="quotas_order_account"),
                    models.Index(fields=["payer_id"], name="quotas_order_payer"),
                    models.Index(fields=["requester", "requested_at"], name="quotas_order_requester"),
                    models.Index(
                        condition=models.Q(status__in=["PENDING", "APPROVED"]),
                        fields=["requested_at"],
                        name="quotas_order_open",
                    ),
                ],
            },
        ),
        migrations.AlterModelOptions(
            "control",
            {
                "default_permissions": ("view", "change"),
                "verbose_name": "ledger",
                "verbose_name_plural": "ledger",
            },
        ),
        migrations.RunSQL(RULES, migrations.RunSQL.noop),
        migrations.RunSQL(INDICES, migrations.RunSQL.noop),
    ]
