"""Holds of a tier's streams that grow with them."""

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import migrations, models

LEAST, MOST = 64, 10**6


class Migration(migrations.Migration):
    dependencies = [("orgs", "0005_limits")]
    operations = [
        migrations.AddField(
            "tier",
            "hold_step",
            models.IntegerField(
                blank=True,
                help_text="Provider tokens of output that a stream's hold begins with and grows by, so that large caps "
                "keep nobody's tokens; a stream for which there are no more ends by “length”. Empty: the whole cap is "
                "held at once.",
                null=True,
                validators=[MinValueValidator(LEAST), MaxValueValidator(MOST)],
            ),
        ),
        migrations.AlterField(
            "tier",
            "max_wait_ms",
            models.IntegerField(
                default=10_000,
                help_text="Shape: a call that would have to wait longer is refused. A stream whose hold grows waits no "
                "longer for room in the bucket either.",
                validators=[MinValueValidator(1), MaxValueValidator(600_000)],
                verbose_name="longest wait (ms)",
            ),
        ),
        migrations.AddConstraint(
            "tier",
            models.CheckConstraint(
                condition=models.Q(hold_step=None) | models.Q(hold_step__range=(LEAST, MOST)),
                name="orgs_tier_hold_step",
            ),
        ),
    ]
