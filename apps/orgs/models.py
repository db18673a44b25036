"""Organisations, their members, and the tiers that limit payers."""

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models.functions import Now

from apps.core.ids import uuid7
from apps.orgs import domain

MAX_CAPACITY = 10**9
"""Largest bucket, in tokens: its level in micro-tokens stays exact in Lua's doubles."""

MAX_LEAK_RATE = 10**12
"""Fastest leak, in milli-tokens per second: the largest bucket in one second."""

MAX_WAIT_MS = 600_000
MIN_HOLD_STEP = 64
"""Provider tokens. Each step is a round trip to the quota store: fewer would be too many of them."""
"""Longest that a call may wait for its turn: well within the longest call that gateways allow."""

MAX_WINDOW_SECONDS = 86_400
"""Longest fixed window: a day."""


class Window(models.TextChoices):
    """How often tokens come again; windows begin at midnight UTC, weeks on Monday."""

    DAY = domain.DAY
    WEEK = domain.WEEK
    MONTH = domain.MONTH


def _within(low: int, high: int) -> list[MinValueValidator | MaxValueValidator]:
    return [MinValueValidator(low), MaxValueValidator(high)]


class Organisation(models.Model):
    """A payer with members. Never deleted while it has any; the ledger names it by its id for ever."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=200)
    slug = models.SlugField(unique=True, help_text="Short name for URLs and commands.")
    suspended = models.BooleanField(default=False, help_text="While set, calls that it would pay are refused.")

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """A user may let an organisation pay. Ending it ends all keys of the user's that the organisation pays."""

    class Role(models.TextChoices):
        """What a member may do; any member may spend. Admins manage members and keys, owners also admins."""

        MEMBER = "member"
        ADMIN = "admin"
        OWNER = "owner"

    org = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role, default=Role.MEMBER)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["org", "user"], name="orgs_membership_once")]

    def __str__(self) -> str:
        return f"{self.user} in {self.org}"


class MemberLimit(models.Model):
    """What a member's calls may cost the organisation in a window; one limit for each provider, and one for all."""

    membership = models.ForeignKey(Membership, on_delete=models.CASCADE, related_name="limits")
    provider = models.SlugField(
        blank=True, help_text="The provider's short name, as in openai. Empty: all providers together."
    )
    window = models.CharField(max_length=10, choices=Window, default=Window.MONTH)
    tokens = models.BigIntegerField(validators=_within(1, 10**15), help_text="Tokens in each window.")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["membership", "provider"], name="orgs_member_limit_once"),
            models.CheckConstraint(condition=models.Q(tokens__range=(1, 10**15)), name="orgs_member_limit_bounds"),
        ]

    def __str__(self) -> str:
        return f"{self.tokens:,} {self.provider} tokens a {self.window}".replace("  ", " ")


class Invitation(models.Model):
    """An offer of membership, sent by e-mail; whoever presents its secret, signed in, becomes a member. Used once."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    org = models.ForeignKey(Organisation, on_delete=models.CASCADE, related_name="invitations")
    email = models.EmailField()
    role = models.CharField(max_length=10, choices=Membership.Role, default=Membership.Role.MEMBER)
    digest = models.CharField(max_length=64, unique=True, editable=False, help_text="SHA-256 of the secret.")
    invited_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True, editable=False)
    revoked_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["org", "email"],
                condition=models.Q(accepted_at=None, revoked_at=None),
                name="orgs_one_open_invitation",
            )
        ]

    def __str__(self) -> str:
        return f"{self.email} into {self.org_id}"


class Tier(models.Model):
    """Limits of a payer's calls. Exactly one tier is the default."""

    class Strategy(models.TextChoices):
        """How the bucket counts."""

        LEAKY_BUCKET = domain.LEAKY_BUCKET, "Leaky bucket"
        TOKEN_BUCKET = domain.TOKEN_BUCKET, "Token bucket"
        FIXED_WINDOW = domain.FIXED_WINDOW, "Fixed window"

    class Mode(models.TextChoices):
        """What becomes of a call that does not fit."""

        POLICE = domain.POLICE, "Police: refuse it"
        SHAPE = domain.SHAPE, "Shape: let it wait"

    name = models.CharField(
        max_length=40,
        primary_key=True,
        validators=[RegexValidator(r"^[A-Z][A-Z0-9_]*\Z", "Upper-case letters, digits and underscores.")],
        help_text="Upper case, as in USER. It cannot be changed later.",
    )
    bucket_capacity = models.BigIntegerField(
        validators=_within(1, MAX_CAPACITY), help_text="Tokens that may be poured at once, per provider."
    )
    leak_rate = models.BigIntegerField(
        validators=_within(1, MAX_LEAK_RATE),
        help_text="Milli-tokens per second that leak out again: 1,000,000 is 1,000 tokens per second.",
    )
    default_max_output = models.IntegerField(
        default=4096,
        validators=_within(1, 10**7),
        help_text="Provider tokens that a call may produce when it names no limit of its own.",
    )
    hold_step = models.IntegerField(
        null=True, blank=True, validators=_within(MIN_HOLD_STEP, 10**6),
        help_text="Provider tokens of output that a stream's hold begins with and grows by, so that large caps keep "
        "nobody's tokens; a stream for which there are no more ends by “length”. Empty: the whole cap is held at once.",
    )  # fmt: skip
    capacity_multiplier = models.IntegerField(
        default=1000, validators=_within(1, 10**6), help_text="Milli-units: 2,000 doubles the bucket."
    )
    leak_multiplier = models.IntegerField(
        default=1000, validators=_within(1, 10**6), help_text="Milli-units: 2,000 doubles the leak rate."
    )
    quota_cap = models.BigIntegerField(
        null=True, blank=True, validators=_within(0, 10**15),
        help_text="Most tokens that may be spent in a day (UTC), whatever the account has. Empty: no cap.",
    )  # fmt: skip
    requests_per_minute = models.IntegerField(
        null=True, blank=True, validators=_within(1, 10**6), help_text="Model calls per minute. Empty: no limit."
    )
    concurrency = models.IntegerField(
        null=True, blank=True, validators=_within(1, 10**6), help_text="Model calls at a time. Empty: no limit."
    )
    strategy = models.CharField(
        max_length=12, choices=Strategy, default=Strategy.LEAKY_BUCKET,
        help_text="Leaky and token buckets drain or refill all the time; a fixed window begins with its first call and "
        "lets the whole capacity pass in it.",
    )  # fmt: skip
    window_seconds = models.IntegerField(
        default=60, validators=_within(1, MAX_WINDOW_SECONDS), help_text="Length of a fixed window; no other has one."
    )
    mode = models.CharField(
        max_length=6, choices=Mode, default=Mode.POLICE,
        help_text="What becomes of a call that does not fit now. Only a leaky bucket can let it wait.",
    )  # fmt: skip
    max_wait_ms = models.IntegerField(
        "longest wait (ms)", default=10_000, validators=_within(1, MAX_WAIT_MS),
        help_text="Shape: a call that would have to wait longer is refused. A stream whose hold grows waits no longer "
        "for room in the bucket either.",
    )  # fmt: skip
    priority = models.IntegerField(
        default=0, validators=_within(0, 10**6), help_text="Of several assigned tiers the one with the highest counts."
    )
    is_default = models.BooleanField(
        default=False, editable=False, help_text="The tier of everybody who has been assigned none."
    )

    class Meta:
        ordering = ["priority", "name"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(hold_step=None) | models.Q(hold_step__range=(MIN_HOLD_STEP, 10**6)),
                name="orgs_tier_hold_step",
            ),
            models.UniqueConstraint(
                fields=["is_default"], condition=models.Q(is_default=True), name="orgs_one_default"
            ),
            models.CheckConstraint(
                condition=models.Q(bucket_capacity__range=(1, MAX_CAPACITY), leak_rate__range=(1, MAX_LEAK_RATE))
                & models.Q(default_max_output__gte=1, priority__gte=0),
                name="orgs_tier_bounds",
            ),
            models.CheckConstraint(
                condition=models.Q(window_seconds__range=(1, MAX_WINDOW_SECONDS), max_wait_ms__range=(1, MAX_WAIT_MS))
                & (models.Q(mode=domain.POLICE) | models.Q(mode=domain.SHAPE, strategy=domain.LEAKY_BUCKET)),
                name="orgs_tier_shape",
                violation_error_message="Only a leaky bucket can let calls wait: choose police, or another strategy.",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Allowance(models.Model):
    """Free tokens of a tier that come again with every window, per provider."""

    tier = models.ForeignKey(Tier, on_delete=models.CASCADE, related_name="allowances")
    provider = models.SlugField(help_text="The provider's short name, as in openai.")
    window = models.CharField(max_length=10, choices=Window, default=Window.MONTH)
    tokens = models.BigIntegerField(validators=_within(1, 10**15))

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tier", "provider", "window"], name="orgs_allowance_once"),
        ]

    def __str__(self) -> str:
        return f"{self.tokens} {self.provider} tokens a {self.window}"


class TierAssignment(models.Model):
    """A payer's own tier, for a time or without end. A payer without one in force has the default tier."""

    class PayerKind(models.TextChoices):
        """Whose tier it is."""

        USER = "user"
        ORG = "org"

    payer_kind = models.CharField("payer", max_length=4, choices=PayerKind)
    payer_id = models.UUIDField(help_text="Id of the user or organisation.")
    tier = models.ForeignKey(Tier, on_delete=models.PROTECT, related_name="assignments")
    ends_at = models.DateTimeField(null=True, blank=True, help_text="UTC; empty: no end.")

    class Meta:
        verbose_name = "assigned tier"
        constraints = [
            models.UniqueConstraint(fields=["payer_kind", "payer_id", "tier"], name="orgs_assignment_once"),
        ]

    def __str__(self) -> str:
        return f"{self.tier_id} for {self.payer_kind} {self.payer_id}"
