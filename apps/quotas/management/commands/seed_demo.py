"""``manage.py seed_demo``: something to call, somebody who may, and tokens to spend; safe to run again, or to kill.

What is missing is made; what operators have changed since is left alone. Secrets are chosen before anything is made and
written to the file first, so a run that was killed is finished by the next one with the same passwords.
"""

import argparse
import json
import os
import secrets
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import structlog
from django.conf import settings
from django.core.management.base import BaseCommand

from apps.accounts.api import create_api_key, find_user, open_client, open_user, revoke_keys_named
from apps.core.errors import InvalidCredential
from apps.core.http.caller import INFERENCE, TOKENS_PURCHASE, TOKENS_READ
from apps.orgs.api import assign_tier, join, open_organisation, principal_of
from apps.providers.api import Offer, open_model, open_provider, open_upstream
from apps.quotas.api import grant
from apps.quotas.domain import account_id

_log = structlog.get_logger(__name__)

SEED = UUID("c0a4e0f1-64f2-4d5c-9f0e-6d1a3b7e2a55")
"""Name space of the demo grants' ids: the same payer is never granted the demo tokens twice."""

DEMO_TOKENS = 10_000_000
KEY_NAME = "demo"
CLIENT = "leaky-client"
CLIENT_SCOPES = (INFERENCE, TOKENS_READ, TOKENS_PURCHASE)
PROVIDER = "openai"
UPSTREAM_CREDENTIAL = "sk-stub-demo"  # what the stub accepts; it opens nothing anywhere else

STUB_HEADERS = (
    "x-stub-cached-tokens",
    "x-stub-chunk-delay-ms",
    "x-stub-delay-ms",
    "x-stub-fault",
    "x-stub-reasoning-tokens",
    "x-stub-tokens",
)

PARAMETERS = (
    "dimensions", "encoding_format", "frequency_penalty", "input", "logit_bias", "logprobs", "max_completion_tokens",
    "max_tokens", "messages", "metadata", "model", "n", "parallel_tool_calls", "presence_penalty", "reasoning_effort",
    "response_format", "seed", "service_tier", "stop", "store", "stream", "stream_options", "temperature",
    "tool_choice", "tools", "top_logprobs", "top_p", "user", "verbosity",
)  # fmt: skip

OFFERS = (
    Offer("gpt-4o-mini", "chat", "o200k_base", 128_000, 16_384, 150_000, 75_000, 600_000),
    Offer("gpt-4o", "chat", "o200k_base", 128_000, 16_384, 2_500_000, 1_250_000, 10_000_000),
    Offer("text-embedding-3-small", "embedding", "cl100k_base", 8_191, 0, 20_000, 20_000, 0),
)


class Command(BaseCommand):
    help = "Make the demo organisation, users, models, key, OAuth2 client and grant, and write their secrets to a file."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--credentials", type=Path, required=True, help="JSON file (mode 0600) to read and write")
        parser.add_argument("--stub-url", required=True, help="where the OpenAI stub listens, without a path")

    def handle(self, *_args: Any, **options: Any) -> None:
        path: Path = options["credentials"]
        facts = remembered(path)
        write_private(path, facts)
        seed_catalogue(options["stub_url"])
        facts |= seed_callers(facts)
        write_private(path, facts)
        self.stdout.write(f"demo account {facts['account_id']}, credentials in {path}")


def remembered(path: Path) -> dict[str, Any]:
    """What an earlier run wrote, with names and passwords filled in where there was none."""
    facts: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    for role, username in (("user", "demo"), ("operator", "operator")):
        facts.setdefault(role, {"username": username, "password": secrets.token_urlsafe(12)})
    return facts


def write_private(path: Path, facts: dict[str, Any]) -> None:
    """Replace the file as a whole: a reader sees the old or the new facts, and only its owner sees any."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(facts, file, indent=2)
        file.write("\n")
    draft.replace(path)


def seed_catalogue(stub_url: str) -> None:
    """The stub as a provider, and the models that it plays."""
    open_provider(PROVIDER, "OpenAI", "openai", PARAMETERS)
    base_url = f"{stub_url.rstrip('/')}/v1"
    open_upstream(PROVIDER, "stub", base_url=base_url, credential=UPSTREAM_CREDENTIAL, forward_headers=STUB_HEADERS)
    for offer in OFFERS:
        open_model(PROVIDER, offer)


def seed_callers(facts: dict[str, Any]) -> dict[str, Any]:
    """The organisation that pays, its members (one with a key, one an OAuth2 client), the operator, and tokens."""
    org = open_organisation("demo", "Demo organisation")
    user = open_user(facts["user"]["username"], "demo@example.test", facts["user"]["password"])
    operator = facts["operator"]
    open_user(operator["username"], "operator@example.test", operator["password"], operator=True)
    join(org, user.pk)
    join(org, open_client(CLIENT, settings.DEMO_CLIENT_SECRET, scopes=CLIENT_SCOPES, org_id=org.pk))
    assign_tier("org", org.pk, "USER")
    account = account_id("org", org.pk, PROVIDER)
    grant(
        payer_kind="org",
        payer_id=org.pk,
        provider=PROVIDER,
        tokens=DEMO_TOKENS,
        grant_id=uuid5(SEED, str(account)),
        reason="demo",
        actor="seed_demo",
    )
    client = {"client_id": CLIENT, "client_secret": settings.DEMO_CLIENT_SECRET}
    return {"api_key": _working_key(facts, org.pk), "account_id": str(account), "client": client}


def _working_key(facts: dict[str, Any], org_id: UUID) -> str:
    """The remembered key while it works for this organisation; else a new one, and no other of its name."""
    text = str(facts.get("api_key", ""))
    try:
        if principal_of(text).payer_id == org_id:
            return text
    except InvalidCredential as refusal:
        _log.info("seed_demo.new_key", reason=refusal.code)
    owner = find_user(facts["user"]["username"])
    revoke_keys_named(owner, KEY_NAME)
    _key, text = create_api_key(owner, KEY_NAME, org_id=org_id)
    return text
