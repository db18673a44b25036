"""The demo's seed: run again, moved, half lost or overruled by operators, its file tells what works."""

import json
import stat
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.core.management import call_command

from apps.accounts.models import ApiKey, User
from apps.config.api import versions
from apps.core.errors import InvalidCredential
from apps.orgs.api import principal_of
from apps.providers import services
from apps.providers.api import catalogue
from apps.providers.models import Model
from apps.quotas.api import account_id, balance

pytestmark = pytest.mark.django_db
STUB = "http://127.0.0.1:8093"


def _seed(path: Path, stub_url: str = STUB) -> dict[str, Any]:
    call_command("seed_demo", credentials=path, stub_url=stub_url, verbosity=0)
    facts: dict[str, Any] = json.loads(path.read_text())
    return facts


def test_what_the_file_says_works(tmp_path: Path) -> None:
    path = tmp_path / "demo.json"
    facts = _seed(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["demo.json"]
    principal = principal_of(facts["api_key"])
    assert facts["account_id"] == str(account_id("org", principal.payer_id, "openai"))
    assert balance(UUID(facts["account_id"])).available == 10_000_000
    assert principal.tier == "USER"
    for role in ("user", "operator"):
        user = User.objects.get(username=facts[role]["username"])
        assert user.check_password(facts[role]["password"])
        assert user.is_superuser == (role == "operator")
    shown = catalogue()
    assert set(shown.models) == {"gpt-4o-mini", "gpt-4o", "text-embedding-3-small"}
    assert all(model.prices for model in shown.models.values())
    (upstream,) = shown.providers["openai"].upstreams
    assert (upstream.base_url, upstream.credential.reveal()) == (f"{STUB}/v1", "sk-stub-demo")
    assert "x-stub-fault" in upstream.forward_headers


def test_a_second_run_changes_nothing(tmp_path: Path) -> None:
    first = _seed(tmp_path / "demo.json")
    before = versions()
    assert _seed(tmp_path / "demo.json") == first
    assert versions() == before
    assert balance(UUID(first["account_id"])).granted == 10_000_000


def test_another_stub_and_an_operators_changes(tmp_path: Path) -> None:
    _seed(tmp_path / "demo.json")
    services.switch(Model, [Model.objects.get(name="gpt-4o").pk], enabled=False)
    _seed(tmp_path / "demo.json", "http://127.0.0.1:9999/")
    assert catalogue().providers["openai"].upstreams[0].base_url == "http://127.0.0.1:9999/v1"
    assert "gpt-4o" not in catalogue().models


def test_a_lost_file_is_replaced_and_its_key_revoked(tmp_path: Path) -> None:
    lost, found = _seed(tmp_path / "lost.json"), _seed(tmp_path / "found.json")
    with pytest.raises(InvalidCredential):
        principal_of(lost["api_key"])
    assert principal_of(found["api_key"]).key_id == found["api_key"][43:53]
    assert ApiKey.objects.filter(owner__username="demo", revoked_at=None).count() == 1
    assert balance(UUID(found["account_id"])).granted == 10_000_000


def test_a_run_that_was_killed_is_finished_with_the_same_passwords(tmp_path: Path) -> None:
    path = tmp_path / "demo.json"
    before = _seed(path)
    path.write_text(json.dumps({role: before[role] for role in ("user", "operator")}))
    after = _seed(path)
    assert (after["user"], after["operator"], after["account_id"]) == (
        before["user"], before["operator"], before["account_id"]
    )  # fmt: skip
    assert principal_of(after["api_key"]).key_id != before["api_key"][43:53]
