"""The fields of a receipt on the wire."""

from typing import Any

from rest_framework import serializers


class UsedSerializer(serializers.Serializer[Any]):
    """Provider tokens by kind. ``cachedInput`` is a part of ``input``, ``reasoning`` a part of ``output``."""

    input = serializers.IntegerField()
    cachedInput = serializers.IntegerField(source="cached_input")
    output = serializers.IntegerField()
    reasoning = serializers.IntegerField()


class PriceThenSerializer(serializers.Serializer[Any]):
    """The price in force when the call left: money in micro-units per million tokens, weights in milli-tokens."""

    id = serializers.CharField(source="price_id")
    currency = serializers.CharField()
    input = serializers.IntegerField(source="input_price")
    cachedInput = serializers.IntegerField(source="cached_input_price")
    output = serializers.IntegerField(source="output_price")
    inputWeight = serializers.IntegerField(source="weights.input")
    cachedInputWeight = serializers.IntegerField(source="weights.cached_input")
    outputWeight = serializers.IntegerField(source="weights.output")


class MovedSerializer(serializers.Serializer[Any]):
    """One transfer of the call's."""

    id = serializers.UUIDField()
    at = serializers.DateTimeField()
    code = serializers.CharField()
    to = serializers.CharField(source="credit")
    tokens = serializers.IntegerField(source="amount")

    def get_fields(self) -> dict[str, Any]:
        """With ``from``, which is a word of Python's."""
        return super().get_fields() | {"from": serializers.CharField(source="debit")}


class RowSerializer(serializers.Serializer[Any]):
    """One call. ``held``, ``charged`` and ``absorbed`` are weighted tokens; how it ended is null while it goes on."""

    id = serializers.UUIDField(source="hold.id", help_text="The reservation id.")
    requestId = serializers.CharField(source="hold.request_id")
    userId = serializers.UUIDField(source="facts.user_id", help_text="Who called.")
    orgId = serializers.UUIDField(source="facts.org_id", allow_null=True, help_text="The organisation that paid.")
    keyId = serializers.CharField(source="facts.key_id")
    provider = serializers.CharField()
    model = serializers.CharField(source="facts.model")
    endpoint = serializers.CharField(source="facts.endpoint")
    streamed = serializers.BooleanField(source="facts.streamed")
    state = serializers.ChoiceField(["held", "settled", "released", "expired"])
    outcome = serializers.CharField(
        source="ending.outcome", allow_null=True, help_text="How it ended, as in completed."
    )
    httpStatus = serializers.IntegerField(source="ending.status", allow_null=True)
    held = serializers.IntegerField(source="hold.amount")
    charged = serializers.IntegerField(source="hold.charged")
    absorbed = serializers.IntegerField(source="hold.absorbed", help_text="What the house bore.")
    tokens = UsedSerializer(source="ending.usage", allow_null=True)
    usageSource = serializers.CharField(
        source="ending.usage_source", allow_null=True, help_text="provider, counted, estimated or none."
    )
    price = PriceThenSerializer(source="facts")
    costMicro = serializers.IntegerField(
        source="cost_micro", allow_null=True, help_text="Micro-units of price.currency."
    )
    latencyMs = serializers.IntegerField(source="ending.latency_ms", allow_null=True)
    firstByteMs = serializers.IntegerField(source="ending.first_byte_ms", allow_null=True)
    takenAt = serializers.DateTimeField(source="hold.taken_at")
    endedAt = serializers.DateTimeField(source="hold.ended_at", allow_null=True)


class ReceiptSerializer(RowSerializer):
    """The same, with every transfer of the call."""

    transfers = MovedSerializer(many=True)


EXAMPLE: dict[str, Any] = {
    "id": "019aa1d2-0000-7f00-8d6e-0c1b2a394857",
    "requestId": "req_018f2b6c7d5e7a4b9c3d2e1f0a9b8c7d",
    "userId": "018f2b6c-7d5e-7a4b-9c3d-2e1f0a9b8c7d",
    "orgId": None,
    "keyId": "k123456789",
    "provider": "openai",
    "model": "gpt-4o-mini",
    "endpoint": "/v1/chat/completions",
    "streamed": False,
    "state": "settled",
    "outcome": "completed",
    "httpStatus": 200,
    "held": 120,
    "charged": 42,
    "absorbed": 0,
    "tokens": {"input": 12, "cachedInput": 0, "output": 30, "reasoning": 0},
    "usageSource": "provider",
    "price": {
        "id": "019aa1d2-1111-7f00-8d6e-0c1b2a394857", "currency": "USD", "input": 150_000, "cachedInput": 75_000,
        "output": 600_000, "inputWeight": 1000, "cachedInputWeight": 500, "outputWeight": 1000,
    },
    "costMicro": 20,
    "latencyMs": 812,
    "firstByteMs": 230,
    "takenAt": "2026-01-31T12:00:00.000000Z",
    "endedAt": "2026-01-31T12:00:00.812000Z",
    "transfers": [
        {
            "id": "019aa1d2-5a3c-7f00-8d6e-0c1b2a394857", "at": "2026-01-31T12:00:00.812000Z", "code": "SETTLE",
            "from": "leased", "to": "spent", "tokens": 42,
        }
    ],
}  # fmt: skip
"""A completed call."""
