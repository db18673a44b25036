"""A sealed day: whoever rewrites it, by whatever right, is found out."""

import os
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from io import StringIO
from uuid import UUID

import psycopg
import pytest
from django.core.management import CommandError, call_command
from psycopg import errors

from apps.core.ids import uuid7
from apps.quotas.api import audit_ledger, check_seals, ledger_state, seal_days
from apps.quotas.control import thaw_closing
from apps.quotas.seals import GRACE
from tests.integration.quotas.payers import funded_account

pytestmark = pytest.mark.usefixtures("committed")

TODAY = datetime.now(UTC).date()
FIRST, SECOND, THIRD = (TODAY - timedelta(days=days) for days in (4, 3, 2))


@pytest.fixture
def owner() -> Iterator[psycopg.Connection]:
    """The ledger's owner, who can get around every trigger."""
    with psycopg.connect(os.environ["TEST_DATABASE_OWNER_URL"], autocommit=True) as connection:
        yield connection


def in_spite_of_triggers(owner: psycopg.Connection, table: str, statement: str, *values: object) -> None:
    owner.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    owner.execute(statement, values)
    owner.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")


@pytest.fixture
def account(owner: psycopg.Connection) -> Iterator[UUID]:
    """An account with a grant on each of two days that are over, and none on the third. Nothing is sealed."""
    account = funded_account(100)
    for day in (FIRST, THIRD):
        owner.execute(_POST, [account, uuid7(), uuid7(), datetime.combine(day, time(12), UTC)])
    yield account
    in_spite_of_triggers(owner, "quotas_day_seal", "DELETE FROM quotas_day_seal")
    for table in ("quotas_transfer", "quotas_lot"):
        in_spite_of_triggers(owner, table, f"DELETE FROM {table} WHERE account_id = %s", account)  # noqa: S608
    in_spite_of_triggers(owner, "quotas_account", "DELETE FROM quotas_account WHERE id = %s", account)


_POST = """
INSERT INTO quotas_transfer (account_id, id, code, debit, credit, amount, ref, at)
VALUES (%s, %s, 'GRANT', 'issuer', 'available', 7, %s, %s)
"""


def sealed() -> None:
    """Up to and with the third day."""
    assert seal_days(datetime.combine(THIRD + timedelta(days=1), time(), UTC) + GRACE) == 3


def days_that_differ() -> list[date]:
    return [day for day in (FIRST, SECOND, THIRD) if check_seals(day)]


def test_days_are_sealed_once_and_only_when_they_are_over(account: UUID, owner: psycopg.Connection) -> None:
    midnight = datetime.combine(THIRD + timedelta(days=1), time(), UTC)
    assert seal_days(midnight + GRACE - timedelta(seconds=1)) == 2
    assert seal_days(midnight + GRACE) == 1
    assert seal_days(midnight + GRACE) == 0
    seals = owner.execute("SELECT day, transfers FROM quotas_day_seal ORDER BY day").fetchall()
    assert seals == [(FIRST, 1), (SECOND, 0), (THIRD, 1)]
    assert check_seals() == []


TAMPERING = {
    "an amount": ("UPDATE quotas_transfer SET amount = 8 WHERE account_id = %s AND at < %s", SECOND, [FIRST]),
    "a reason": ("UPDATE quotas_transfer SET reason = 'x' WHERE account_id = %s AND at < %s", SECOND, [FIRST]),
    "taken out": ("DELETE FROM quotas_transfer WHERE account_id = %s AND at < %s", SECOND, [FIRST]),
    "moved": (
        "UPDATE quotas_transfer SET at = at + interval '1 day' WHERE account_id = %s AND at < %s",
        SECOND,
        [FIRST, SECOND],
    ),
}


@pytest.mark.parametrize("what", list(TAMPERING))
def test_what_is_changed_behind_the_triggers_breaks_the_seal_of_its_day(
    account: UUID, owner: psycopg.Connection, what: str
) -> None:
    sealed()
    statement, before, broken = TAMPERING[what]

    in_spite_of_triggers(owner, "quotas_transfer", statement, account, before)

    assert days_that_differ() == broken


def test_what_is_slipped_into_a_sealed_day_breaks_its_seal(account: UUID, owner: psycopg.Connection) -> None:
    sealed()
    owner.execute(_POST, [account, uuid7(), uuid7(), datetime.combine(SECOND, time(12), UTC)])
    (difference,) = check_seals(SECOND)
    assert (difference.value, difference.evidence) == (0, 1)


def test_a_seal_that_is_made_to_fit_shows_in_the_next_day(account: UUID, owner: psycopg.Connection) -> None:
    sealed()
    in_spite_of_triggers(owner, "quotas_day_seal", "UPDATE quotas_day_seal SET digest = %s WHERE day = %s", b"x", FIRST)
    assert days_that_differ() == [FIRST, SECOND]


@pytest.mark.parametrize("statement", ["UPDATE quotas_day_seal SET transfers = 2", "DELETE FROM quotas_day_seal"])
def test_seals_are_append_only(account: UUID, owner: psycopg.Connection, statement: str) -> None:
    sealed()
    with psycopg.connect(os.environ["DATABASE_URL"], options="-c leaky.scope=all") as application:
        for connection, because in ((application, "permission denied"), (owner, "never broken by us")):
            with pytest.raises(errors.InsufficientPrivilege, match=because):
                connection.execute(statement)


def test_the_audit_finds_a_broken_seal_and_stops_closing(account: UUID, owner: psycopg.Connection) -> None:
    sealed()
    in_spite_of_triggers(
        owner, "quotas_transfer", "UPDATE quotas_transfer SET reason = 'x' WHERE account_id = %s AND at < %s",
        account, TODAY,
    )  # fmt: skip
    in_spite_of_triggers(owner, "quotas_day_seal", "DELETE FROM quotas_day_seal WHERE day <> %s", FIRST)
    try:
        assert any("(seal)" in difference.balance for difference in audit_ledger())
        assert "(seal)" in ledger_state().frozen_because
    finally:
        thaw_closing("the test is over")


def test_the_command_lists_days_and_names_those_that_differ(account: UUID, owner: psycopg.Connection) -> None:
    sealed()
    said = StringIO()
    call_command("ledger_seals", verify=True, stdout=said)
    assert said.getvalue().count("as sealed") == 3

    owner.execute(_POST, [account, uuid7(), uuid7(), datetime.combine(SECOND, time(12), UTC)])
    with pytest.raises(CommandError, match=f"transfers of {SECOND}"):
        call_command("ledger_seals", verify=True, stdout=said)
    call_command("ledger_seals", day=FIRST, verify=True, stdout=said)
