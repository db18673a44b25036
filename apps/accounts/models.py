"""Who calls: users and their roles, sessions, API keys and OAuth2 clients; and the keys that sign our tokens."""

import uuid

from django.contrib.auth.models import AbstractUser
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator, RegexValidator
from django.db import models
from django.db.models.functions import Lower, Now
from oauth2_provider.models import AbstractApplication, AbstractGrant

from apps.accounts.validators import (
    validate_label,
    validate_names,
    validate_networks,
    validate_redirects,
    validate_scopes,
)
from apps.core.http.caller import KEY_SCOPES
from apps.core.ids import uuid7


class Role(models.Model):
    """What a user may do beyond their own things. USER and ADMIN are shipped; others name a tier."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(
        max_length=50,
        unique=True,
        validators=[RegexValidator(r"^[A-Z][A-Z0-9_]*\Z", "Upper-case letters, digits and underscores.")],
        help_text="Upper case, as in USER. A role that is named like a tier gives that tier.",
    )
    description = models.TextField(blank=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class User(AbstractUser):  # type: ignore[django-manager-missing]
    """A person or service account. The id is a UUID: it is public, part of every API key."""

    class Kind(models.TextChoices):
        """Service accounts own keys and clients; nobody signs in as one."""

        PERSON = "person"
        SERVICE = "service", "service account"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    email = models.EmailField(unique=True)
    kind = models.CharField(max_length=10, choices=Kind, default=Kind.PERSON)
    roles = models.ManyToManyField(Role, blank=True, related_name="users")
    email_verified_at = models.DateTimeField(null=True, blank=True, editable=False)
    token_version = models.PositiveIntegerField(
        default=0, editable=False, help_text="Tokens carry it; raising it ends all tokens of the user."
    )

    class Meta(AbstractUser.Meta):
        constraints = [models.UniqueConstraint(Lower("email"), name="accounts_user_email_any_case")]

    @property
    def email_verified(self) -> bool:
        """Whether somebody has followed a link that was sent to the address."""
        return self.email_verified_at is not None


class Session(models.Model):
    """One sign-in: by password at the API (a family of refresh tokens), or in a browser (a cookie)."""

    class Kind(models.TextChoices):
        """How it was opened."""

        API = "api", "API"
        BROWSER = "browser"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="sessions")
    kind = models.CharField(max_length=10, choices=Kind)
    refresh_id = models.CharField(
        max_length=64, blank=True, editable=False, help_text="The one refresh token that is good now, by its jti."
    )
    ip = models.GenericIPAddressField(null=True)
    user_agent = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    last_seen_at = models.DateTimeField(db_default=Now(), editable=False)
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["user", "-created_at"], name="accounts_session_of_user")]

    def __str__(self) -> str:
        return f"{self.kind} session of {self.user_id}"


class SigningKey(models.Model):
    """A key pair that signs our tokens from ``activates_at`` until a newer one does.

    The private half is sealed. Published before it is used and after, so that nobody meets a token of an unknown key;
    from ``withdrawn_at`` on it does not sign and is not published, for it has leaked.
    """

    kid = models.CharField(max_length=64, primary_key=True, editable=False)
    public_jwk = models.JSONField(editable=False)
    sealed_private = models.BinaryField(editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    activates_at = models.DateTimeField(editable=False)
    withdrawn_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["-activates_at"]

    def __str__(self) -> str:
        return self.kid


class Application(AbstractApplication):
    """An OAuth2 client. ``user`` is the (service) account that its own tokens act for.

    ``org_id`` pays for calls with its own tokens; empty: that account pays.
    """

    org_id = models.UUIDField("organisation", null=True, blank=True)
    allowed_scopes = models.JSONField(
        default=list, validators=[validate_scopes], help_text='Scopes it may ask for, as in ["inference"].'
    )

    class Meta(AbstractApplication.Meta):
        verbose_name = "OAuth2 client"
        ordering = ["name"]

    def redirect_uri_allowed(self, uri: str) -> bool:
        """Whether codes may be sent there: character by character as registered (RFC 9700, section 4.1.3)."""
        return uri in self.redirect_uris.split()

    def post_logout_redirect_uri_allowed(self, uri: str) -> bool:
        """Whether a browser may be sent there after sign-out: character by character as registered."""
        return uri in self.post_logout_redirect_uris.split()

    def clean(self) -> None:
        """What the fields must be to one another.

        Raises:
            ValidationError: by field.
        """
        problems: dict[str, str] = {}
        for field in ("redirect_uris", "post_logout_redirect_uris"):
            try:
                validate_redirects(getattr(self, field).split(), self.get_allowed_schemes())
            except ValidationError as error:
                problems[field] = error.messages[0]
        if self.authorization_grant_type == self.GRANT_AUTHORIZATION_CODE and not self.redirect_uris.split():
            problems["redirect_uris"] = "A client that people sign in with needs an address to send them back to."
        if self.authorization_grant_type == self.GRANT_CLIENT_CREDENTIALS and self.user_id is None:
            problems["user"] = "A client that acts for itself needs the account that it acts as."
        if self.authorization_grant_type == self.GRANT_CLIENT_CREDENTIALS and self.client_type == self.CLIENT_PUBLIC:
            problems["client_type"] = "A client that acts for itself must be able to keep a secret."
        if problems:
            raise ValidationError(problems)


class Grant(AbstractGrant):
    """An authorization code. One that was exchanged stays, so that its second use ends what the first one gave.

    ``family`` and ``access_checksum`` name that: the refresh tokens and the first access token.
    """

    signed_in_at = models.DateTimeField(help_text="When the person signed in: the ID token's auth_time.")
    token_version = models.PositiveIntegerField(help_text="The user's, when the code was made.")
    spent_at = models.DateTimeField(null=True)
    family = models.UUIDField(null=True)
    access_checksum = models.CharField(max_length=64, blank=True)

    class Meta(AbstractGrant.Meta):
        verbose_name = "authorization code"


class ApiKey(models.Model):
    """A key's public part and the digest of the whole. Never deleted: usage events name it by its id.

    ``org_id`` is an opaque id here (organisations know users, not the other way round); whether the owner is a member
    is asked on every use.
    """

    id = models.CharField("key id", max_length=10, primary_key=True, editable=False)
    owner = models.ForeignKey(User, on_delete=models.PROTECT, related_name="api_keys")
    org_id = models.UUIDField(
        "organisation",
        null=True,
        blank=True,
        help_text="Id of the organisation that pays; the key works only while its owner is a member. "
        "Empty: the owner pays.",
    )
    name = models.CharField(
        max_length=100,
        validators=[validate_label],
        help_text="What the key is for, so that it can be revoked with confidence.",
    )
    digest = models.CharField(max_length=64, editable=False)
    allowed_models = models.JSONField(
        null=True,
        blank=True,
        validators=[validate_names],
        help_text='Names of the models it may call, as in ["gpt-4o-mini"]. Empty or null: all models.',
    )
    scopes = models.JSONField(
        null=True,
        blank=True,
        validators=[validate_scopes],
        help_text='What it may do, as in ["inference"]. Empty: all but managing keys and organisations.',
    )
    allowed_networks = models.JSONField(
        null=True,
        blank=True,
        validators=[validate_networks],
        help_text='Addresses it may call from, as in ["203.0.113.0/24"]. Empty: all.',
    )
    budget = models.BigIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Tokens that it may spend in all, whatever its payer has. Empty: no budget of its own.",
    )
    budget_id = models.CharField(
        max_length=10,
        blank=True,
        editable=False,
        help_text="The first of the keys that share the budget; empty: itself.",
    )
    replaced_by = models.ForeignKey("self", null=True, blank=True, editable=False, on_delete=models.PROTECT)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    expires_at = models.DateTimeField(null=True, blank=True, help_text="UTC; empty: never.")
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        verbose_name = "API key"
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.name} ({self.id})"

    @property
    def display_prefix(self) -> str:
        """As much of the key as may be shown: enough to recognise it, nothing of its secret."""
        return f"leaky_{self.owner_id}_{self.id}…"

    @property
    def spends_from(self) -> str:
        """Id of the budget: that of the first of the keys that replaced one another."""
        return self.budget_id or self.id

    @property
    def effective_scopes(self) -> frozenset[str]:
        """What it may do."""
        return KEY_SCOPES if self.scopes is None else frozenset(self.scopes)
