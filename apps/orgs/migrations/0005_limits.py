"""How a tier's bucket counts, and what a member may cost an organisation."""

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import migrations, models
from django.db.models.deletion import CASCADE

# A limit is seen by whoever sees the membership that it is of.
POLICY = """
ALTER TABLE orgs_memberlimit ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON orgs_memberlimit
    USING (leaky_sees_all() OR EXISTS (SELECT FROM orgs_membership WHERE orgs_membership.id = membership_id));
"""
MOST = 10**15
MISMATCH = "Only a leaky bucket can let calls wait: choose police, or another strategy."


class Migration(migrations.Migration):
    dependencies = [("orgs", "0004_tenancy")]
    operations = [
        migrations.AddField(
            "tier",
            "strategy",
            models.CharField(
                choices=[
                    ("LEAKY_BUCKET", "Leaky bucket"),
                    ("TOKEN_BUCKET", "Token bucket"),
                    ("FIXED_WINDOW", "Fixed window"),
                ],
                default="LEAKY_BUCKET",
                help_text="Leaky and token buckets drain or refill all the time; a fixed window begins with its first "
                "call and lets the whole capacity pass in it.",
                max_length=12,
            ),
        ),
        migrations.AddField(
            "tier",
            "window_seconds",
            models.IntegerField(
                default=60,
                help_text="Length of a fixed window; no other has one.",
                validators=[MinValueValidator(1), MaxValueValidator(86_400)],
            ),
        ),
        migrations.AddField(
            "tier",
            "mode",
            models.CharField(
                choices=[("police", "Police: refuse it"), ("shape", "Shape: let it wait")],
                default="police",
                help_text="What becomes of a call that does not fit now. Only a leaky bucket can let it wait.",
                max_length=6,
            ),
        ),
        migrations.AddField(
            "tier",
            "max_wait_ms",
            models.IntegerField(
                default=10_000,
                help_text="Shape only: a call that would have to wait longer is refused.",
                validators=[MinValueValidator(1), MaxValueValidator(600_000)],
                verbose_name="longest wait (ms)",
            ),
        ),
        migrations.AlterField(
            "tier",
            "quota_cap",
            models.BigIntegerField(
                blank=True,
                help_text="Most tokens that may be spent in a day (UTC), whatever the account has. Empty: no cap.",
                null=True,
                validators=[MinValueValidator(0), MaxValueValidator(MOST)],
            ),
        ),
        migrations.AddConstraint(
            "tier",
            models.CheckConstraint(
                condition=models.Q(window_seconds__range=(1, 86_400), max_wait_ms__range=(1, 600_000))
                & (models.Q(mode="police") | models.Q(mode="shape", strategy="LEAKY_BUCKET")),
                name="orgs_tier_shape",
                violation_error_message=MISMATCH,
            ),
        ),
        migrations.CreateModel(
            "MemberLimit",
            [
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "provider",
                    models.SlugField(
                        blank=True,
                        help_text="The provider's short name, as in openai. Empty: all providers together.",
                    ),
                ),
                (
                    "window",
                    models.CharField(
                        choices=[("day", "Day"), ("week", "Week"), ("month", "Month")], default="month", max_length=10
                    ),
                ),
                (
                    "tokens",
                    models.BigIntegerField(
                        help_text="Tokens in each window.",
                        validators=[MinValueValidator(1), MaxValueValidator(MOST)],
                    ),
                ),
                (
                    "membership",
                    models.ForeignKey(on_delete=CASCADE, related_name="limits", to="orgs.membership"),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=["membership", "provider"], name="orgs_member_limit_once"),
                    models.CheckConstraint(
                        condition=models.Q(tokens__range=(1, MOST)), name="orgs_member_limit_bounds"
                    ),
                ],
            },
        ),
        migrations.RunSQL(POLICY, migrations.RunSQL.noop),
    ]
