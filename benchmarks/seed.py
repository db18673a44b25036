"""Somebody whom no limit stops, and the stub as two providers. Runs within Django (:mod:`benchmarks.bank` calls it).

Bucket and grant are so large that a refusal in the run is an error and not a limit at work; they are poured, held and
settled all the same.
"""

import secrets
from uuid import UUID

from apps.accounts.api import create_api_key, open_user
from apps.core.ids import uuid7
from apps.orgs.api import assign_tier
from apps.orgs.models import Tier  # operators make tiers in the console; the api offers no such call
from apps.providers.api import Offer, open_model, open_provider, open_upstream
from apps.quotas.api import grant
from benchmarks import workload

TIER = "BENCHMARK"
LARGEST_BUCKET = 10**9
FASTEST_LEAK = 10**12
GRANTED_TOKENS = 10**15


def seed(plain_port: int, stream_port: int) -> str:
    """Make user, key, tier, and for each half of the stub a provider, its model and a grant; returns the key."""
    user = open_user("benchmark", "benchmark@example.com", secrets.token_urlsafe(20))
    Tier.objects.create(name=TIER, bucket_capacity=LARGEST_BUCKET, leak_rate=FASTEST_LEAK, priority=1000)
    assign_tier("user", user.pk, TIER)
    for provider, model, port in (
        ("openai", workload.MODEL, plain_port),
        ("openai-stream", workload.STREAM_MODEL, stream_port),
    ):
        _open_provider(provider, model, port)
        _grant(user.pk, provider)
    _, text = create_api_key(user, "benchmark")
    return text


def _open_provider(provider: str, model: str, port: int) -> None:
    open_provider(provider, provider, "openai", ["*"])
    base_url = f"http://127.0.0.1:{port}/v1"
    open_upstream(provider, "stub", base_url=base_url, credential="sk-stub-benchmark", forward_headers=[])
    open_model(provider, Offer(model, "chat", "o200k_base", 128_000, 16_384, 150_000, 75_000, 600_000))


def _grant(payer_id: UUID, provider: str) -> None:
    grant(
        payer_kind="user", payer_id=payer_id, provider=provider, tokens=GRANTED_TOKENS,
        grant_id=uuid7(), reason="benchmark", actor="benchmark",
    )  # fmt: skip


def seed_shape(capacity: int, leak_rate: int, max_wait_ms: int) -> str:
    """Two users of equal buckets, one that refuses and one that lets wait; returns their keys, with a blank between."""
    keys: list[str] = []
    for mode in ("police", "shape"):
        user = open_user(mode, f"{mode}@example.com", secrets.token_urlsafe(20))
        Tier.objects.create(
            name=mode.upper(), bucket_capacity=capacity, leak_rate=leak_rate, priority=1001 + len(keys), mode=mode,
            max_wait_ms=max_wait_ms,
        )  # fmt: skip
        assign_tier("user", user.pk, mode.upper())
        _grant(user.pk, "openai")
        keys.append(create_api_key(user, mode)[1])
    return " ".join(keys)
