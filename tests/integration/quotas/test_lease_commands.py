"""The runbook's commands: what operators see of leases, spools, dead events and the generation, and what they may
do.
"""

import base64
import json
from io import StringIO
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.core.management import CommandError, call_command

from apps.audit.models import Entry as AuditEntry
from apps.limiter.api import shard_of
from apps.quotas.api import balance, ledger_generation, ledger_state, register_spool
from apps.quotas.models import DeadEvent
from tests.integration.quotas.needs import as_owner, leases_of
from tests.integration.quotas.payers import funded_account
from tests.integration.quotas.purses import Call, drained, filled, limiter

pytestmark = pytest.mark.usefixtures("without_loops", "committed")


def run(command: str, *arguments: str) -> str:
    """What a command prints."""
    out = StringIO()
    call_command(command, *arguments, stdout=out)
    return out.getvalue()


def test_a_dead_event_is_listed_replayed_and_gone() -> None:
    account = funded_account(1000)
    call = Call(filled(account, 100), 60).taken()
    call.settle(45)
    parked = _parked_from_journal(account)
    assert drained(account) == 0

    assert str(parked) in run("dead_events")
    with pytest.raises(CommandError, match="Say why"):
        run("dead_events", "--replay", str(parked))
    run("dead_events", "--replay", str(parked), "--reason", "the price is there now")

    assert balance(account).spent == 45
    assert str(parked) not in run("dead_events")
    assert _audited("dead_event.replayed", parked).reason == "the price is there now"
    with pytest.raises(CommandError, match="NotFound"):
        run("dead_events", "--replay", str(parked), "--reason", "again")


def test_a_dead_event_is_let_go() -> None:
    account = funded_account(1000)
    call = Call(filled(account, 100), 60).taken()
    call.settle(45)
    parked = _parked_from_journal(account)
    run("dead_events", "--discard", str(parked), "--reason", "a test of ours")
    assert balance(account).spent == 0
    assert _audited("dead_event.discarded", parked).reason == "a test of ours"


def test_one_that_cannot_be_booked_still_stays_parked() -> None:
    fields = {
        name: base64.b64encode(b"0").decode() for name in ("e", "g", "n", "c", "b", "r", "pr", "bu", "f", "p", "a")
    }
    row = _park(uuid4(), None, fields)
    with pytest.raises(CommandError):
        run("dead_events", "--replay", str(row), "--reason", "try")
    assert DeadEvent.objects.get(id=row).state == "PARKED"
    run("dead_events", "--discard", str(row), "--reason", "never")


def test_spools_are_listed_and_written_off() -> None:
    spool = f"spool-{uuid4().hex}"
    register_spool(spool, "gateway-7")
    assert spool in run("spools")
    with pytest.raises(CommandError, match="Say why"):
        run("spools", "--write-off", spool)
    run("spools", "--write-off", spool, "--reason", "the disk burnt")
    assert spool not in run("spools")
    with pytest.raises(CommandError, match="no open spool"):
        run("spools", "--write-off", spool, "--reason", "again")


def test_the_generation_is_shown_and_raised_with_a_reason() -> None:
    before = ledger_generation()
    assert run("ledger_generation") == f"generation {before}\n"
    with pytest.raises(CommandError, match="Say why"):
        run("ledger_generation", "--bump")
    assert run("ledger_generation", "--bump", "--reason", "drill") == f"generation {before + 1}\n"


def test_reconcile_finds_what_somebody_has_slipped_into_a_purse() -> None:
    account = funded_account(1000)
    filled(account, 100)
    assert "no difference" in run("reconcile", "--account", str(account))
    with limiter() as valkey:
        valkey.ask(shard_of(account), "HINCRBY", f"{{q{shard_of(account):02d}}}:purse:{account}", "av", 5)
    with pytest.raises(CommandError, match="purse"):
        run("reconcile", "--account", str(account))
    assert not ledger_state().closing_frozen, "of one account it is a look"
    with limiter() as valkey:
        valkey.ask(shard_of(account), "HINCRBY", f"{{q{shard_of(account):02d}}}:purse:{account}", "av", -5)


def test_rebuild_shows_and_starts_over() -> None:
    account = funded_account(1000)
    filled(account, 100)
    shown = run("rebuild_quota", "--check", "--account", str(account))
    assert "open in step" in shown
    assert "nothing was changed" in shown
    with limiter() as valkey:
        valkey.ask(shard_of(account), "DEL", f"{{q{shard_of(account):02d}}}:purse:{account}")
    assert "+100 not in Valkey" in run("rebuild_quota", "--check", "--account", str(account))
    assert "started over: 1" in run("rebuild_quota", "--account", str(account))
    assert [row["state"] for row in leases_of(account)] == ["DOUBT"]


def _parked_from_journal(account: UUID) -> UUID:
    """Park all that an account's shard has, as a drainer does with what it cannot book; returns the last."""
    shard = shard_of(account)
    with limiter() as valkey:
        found: Any = valkey.ask(shard, "XRANGE", f"{{q{shard:02d}}}:journal", "-", "+")
        entry_id, raw = found[-1]
        fields = {
            name.decode(): base64.b64encode(value).decode() for name, value in zip(raw[::2], raw[1::2], strict=True)
        }
        valkey.ask(shard, "XDEL", f"{{q{shard:02d}}}:journal", entry_id)
    return _park(uuid4(), account, fields, entry_id.decode())


def _park(event: UUID, account: UUID | None, fields: dict[str, str], entry: str = "1-0") -> UUID:
    as_owner(
        "INSERT INTO quotas_dead_event (id, shard, journal, entry, account_id, fields, error, tries)"
        " VALUES (%s, 0, %s, %s, %s, %s::jsonb, 'ValueError: test', 5)",
        event, str(event), entry, account, json.dumps(fields),
    )  # fmt: skip
    return event


def _audited(action: str, subject: UUID) -> AuditEntry:
    return AuditEntry.objects.get(action=action, subject_id=str(subject))
