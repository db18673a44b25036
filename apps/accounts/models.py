"""Users: who signs in, owns keys and pays for their own calls. API keys: how programs call in a user's name."""

import uuid

from django.contrib.auth.models import AbstractUser
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.functions import Now


def validate_names(value: object) -> None:
    """A list of names: anything else would silently allow nothing, or something else."""
    if not isinstance(value, list) or not all(isinstance(name, str) and name for name in value):
        raise ValidationError('A JSON list of names, as in ["gpt-4o-mini"].')


class User(AbstractUser):
    """A person or service account. The id is a UUID: it is public, part of every API key."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    email = models.EmailField(unique=True)


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
    name = models.CharField(max_length=100, help_text="What the key is for, so that it can be revoked with confidence.")
    digest = models.CharField(max_length=64, editable=False)
    allowed_models = models.JSONField(
        null=True,
        blank=True,
        validators=[validate_names],
        help_text='Names of the models it may call, as in ["gpt-4o-mini"]. Empty or null: all models.',
    )
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
