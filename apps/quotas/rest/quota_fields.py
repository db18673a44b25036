"""The fields of a quota on the wire: the contract's five, and what explains them."""

from typing import Any

from rest_framework import serializers

from apps.quotas.payers import ORG, Payer
from apps.quotas.remaining import Quota


class PartSerializer(serializers.Serializer[Any]):
    """A part of a quota: what was granted and has not ended, and what is left of that."""

    totalTokens = serializers.IntegerField(source="total")
    remainingTokens = serializers.IntegerField(source="remaining")


class QuotaSerializer(serializers.Serializer[Any]):
    """What a payer may still spend with a provider, in tokens."""

    provider = serializers.CharField()
    totalTokens = serializers.IntegerField(
        source="total", help_text="What was granted and has neither expired nor been refunded."
    )
    remainingTokens = serializers.IntegerField(source="remaining", help_text="What calls may still hold now.")
    updatedAt = serializers.DateTimeField(
        source="updated_at", allow_null=True, help_text="When the ledger last moved tokens of it; null: never yet."
    )
    resetTime = serializers.DateTimeField(
        source="resets_at", allow_null=True, help_text="When an allowance comes again; null: there is none."
    )
    allowance = PartSerializer(help_text="What comes again with every window.")
    purchased = PartSerializer(help_text="What was granted once.")
    heldTokens = serializers.IntegerField(source="held", help_text="Set aside for calls under way, or kept back.")
    spentTokens = serializers.IntegerField(source="spent", help_text="Of all calls that ended, ever.")
    leasedTokens = serializers.IntegerField(
        source="leased", help_text="The part of remainingTokens that is lent to the quota store."
    )
    inDoubtTokens = serializers.IntegerField(
        source="in_doubt", help_text="Lent to a quota store that lost them; they come back within half an hour."
    )
    cap = serializers.IntegerField(allow_null=True, help_text="Most tokens of a day (UTC) by the tier; null: no cap.")
    capRemaining = serializers.IntegerField(source="cap_remaining", allow_null=True)
    callsUnderWay = serializers.IntegerField(source="calls")
    suspended = serializers.BooleanField()


class UserQuotaSerializer(QuotaSerializer):
    """The same of a user."""

    userId = serializers.UUIDField()


class OrganisationQuotaSerializer(QuotaSerializer):
    """The same of an organisation."""

    orgId = serializers.UUIDField()


class AnyQuotaSerializer(QuotaSerializer):
    """The same of either."""

    userId = serializers.UUIDField(required=False)
    orgId = serializers.UUIDField(required=False)


def shown(payer: Payer, quota: Quota) -> dict[str, Any]:
    """A quota as it is answered, naming its payer."""
    name = "orgId" if payer.kind == ORG else "userId"
    return {name: str(payer.id), **QuotaSerializer(quota).data}


EXAMPLE: dict[str, Any] = {
    "userId": "018f2b6c-7d5e-7a4b-9c3d-2e1f0a9b8c7d",
    "provider": "openai",
    "totalTokens": 1_100_000,
    "remainingTokens": 1_099_838,
    "updatedAt": "2026-01-31T12:00:00.000000Z",
    "resetTime": "2026-02-01T00:00:00Z",
    "allowance": {"totalTokens": 100_000, "remainingTokens": 99_838},
    "purchased": {"totalTokens": 1_000_000, "remainingTokens": 1_000_000},
    "heldTokens": 120,
    "spentTokens": 42,
    "leasedTokens": 99_838,
    "inDoubtTokens": 0,
    "cap": None,
    "capRemaining": None,
    "callsUnderWay": 1,
    "suspended": False,
}
ORGANISATION = {("orgId" if name == "userId" else name): value for name, value in EXAMPLE.items()}
