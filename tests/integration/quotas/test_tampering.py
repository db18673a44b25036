"""The ledger cannot be rewritten: not by the application, and its transfers not by the owner either."""

import os
from collections.abc import Iterator
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import errors

from apps.quotas.api import balance, check_identities, reserve
from tests.integration.quotas.payers import MINUTE_MS, entries, funded_account, hold_of

pytestmark = pytest.mark.usefixtures("committed")


@pytest.fixture
def account() -> UUID:
    account = funded_account(100)
    reserve(hold_of(account, 30), ttl_ms=MINUTE_MS)
    return account


@pytest.fixture
def application() -> Iterator[psycopg.Connection]:
    with psycopg.connect(os.environ["DATABASE_URL"], options="-c leaky.scope=all") as connection:
        yield connection


@pytest.fixture
def owner() -> Iterator[psycopg.Connection]:
    with psycopg.connect(os.environ["TEST_DATABASE_OWNER_URL"]) as connection:
        yield connection


REWRITING_TRANSFERS = [
    "UPDATE quotas_transfer SET amount = 1 WHERE account_id = %(account)s",
    "UPDATE quotas_transfer SET reason = 'other' WHERE account_id = %(account)s",
    "DELETE FROM quotas_transfer WHERE account_id = %(account)s",
    "DELETE FROM quotas_transfer WHERE false AND account_id = %(account)s",
    "TRUNCATE quotas_transfer",
    """MERGE INTO quotas_transfer t USING quotas_account a ON t.account_id = a.id AND a.id = %(account)s
    WHEN MATCHED THEN DELETE""",
    """INSERT INTO quotas_transfer (account_id, id, code, debit, credit, amount, ref)
    SELECT account_id, id, code, debit, credit, amount, ref FROM quotas_transfer WHERE account_id = %(account)s
    ON CONFLICT (account_id, id) DO UPDATE SET amount = 1""",
]

BALANCES = ["granted", "pending", "available", "leased", "held", "spent", "expired", "refunded", "absorbed"]

REWRITING_ACCOUNTS = [
    *(f"UPDATE quotas_account SET {balance} = 7 WHERE id = %(account)s" for balance in BALANCES),  # noqa: S608
    "UPDATE quotas_account SET granted = granted + 5, available = available + 5 WHERE id = %(account)s",
    "UPDATE quotas_account SET payer_id = gen_random_uuid() WHERE id = %(account)s",
    "DELETE FROM quotas_account WHERE id = %(account)s",
    "TRUNCATE quotas_account",
    """INSERT INTO quotas_account (id, payer_kind, payer_id, provider, granted, available)
    VALUES (gen_random_uuid(), 'user', gen_random_uuid(), 'openai', 5, 5)""",
]

CHANGING_THE_RULES = [
    "ALTER TABLE quotas_transfer DISABLE TRIGGER ALL",
    "DROP TRIGGER quotas_transfer_append_only ON quotas_transfer",
    "ALTER TABLE quotas_account DROP CONSTRAINT quotas_account_identity",
    "SET session_replication_role = replica",
    "CREATE OR REPLACE FUNCTION quotas_refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
    "DELETE FROM django_migrations",
]


def _is_refused(connection: psycopg.Connection, statement: str, account: UUID, because: str) -> None:
    before = balance(account), entries(account)
    with pytest.raises(errors.InsufficientPrivilege, match=because):
        connection.execute(statement, {"account": account})
    connection.rollback()
    assert (balance(account), entries(account)) == before
    assert check_identities(account) == []


@pytest.mark.parametrize("statement", [*REWRITING_TRANSFERS, *REWRITING_ACCOUNTS])
def test_the_application_may_not(application: psycopg.Connection, account: UUID, statement: str) -> None:
    _is_refused(application, statement, account, "permission denied for table")


@pytest.mark.parametrize("statement", CHANGING_THE_RULES)
def test_the_application_may_not_change_the_rules(
    application: psycopg.Connection, account: UUID, statement: str
) -> None:
    _is_refused(application, statement, account, "permission denied|must be owner")


def test_the_application_gains_nothing_by_granting_to_itself(application: psycopg.Connection) -> None:
    application.execute("GRANT UPDATE, DELETE, TRUNCATE ON quotas_transfer TO leaky_app")

    rights = application.execute("SELECT has_table_privilege('quotas_transfer', 'UPDATE, DELETE, TRUNCATE')")
    assert rights.fetchone() == (False,)


@pytest.mark.parametrize("statement", REWRITING_TRANSFERS)
def test_not_even_the_owner_rewrites_transfers(owner: psycopg.Connection, account: UUID, statement: str) -> None:
    _is_refused(owner, statement, account, "the ledger is append-only")


@pytest.mark.parametrize("statement", REWRITING_ACCOUNTS)
def test_not_even_the_owner_changes_balances_without_a_transfer(
    owner: psycopg.Connection, account: UUID, statement: str
) -> None:
    _is_refused(owner, statement, account, "by transfers only|accounts are kept|opens empty")


POST = (
    "INSERT INTO quotas_transfer (account_id, id, code, debit, credit, amount, ref) VALUES (%s, %s, %s, %s, %s, %s, %s)"
)


@pytest.mark.parametrize(
    ("code", "debit", "credit", "amount", "error"),
    [
        ("HOLD", "available", "held", 71, errors.CheckViolation),
        ("SETTLE", "held", "spent", 31, errors.CheckViolation),
        ("GRANT", "issuer", "available", 9 * 10**15, errors.CheckViolation),
        ("GRANT", "house", "available", 1, errors.CheckViolation),
        ("RELEASE", "spent", "available", 1, errors.CheckViolation),
        ("MINT", "issuer", "available", 1, errors.CheckViolation),
        ("GRANT", "issuer", "available", 0, errors.CheckViolation),
        ("GRANT", "issuer", "available", -5, errors.CheckViolation),
    ],
    ids=[
        "more than is available",
        "more than is held",
        "more than an account holds",
        "from nowhere",
        "the wrong way",
        "an unknown code",
        "nothing",
        "less than nothing",
    ],
)
def test_a_transfer_that_breaks_a_rule_does_not_commit(
    application: psycopg.Connection,
    account: UUID,
    code: str,
    debit: str,
    credit: str,
    amount: int,
    error: type[Exception],
) -> None:
    before = balance(account)

    with pytest.raises(error):
        application.execute(POST, (account, uuid4(), code, debit, credit, amount, uuid4()))

    application.rollback()
    assert balance(account) == before


def test_a_transfer_of_an_account_that_does_not_exist_is_refused(application: psycopg.Connection) -> None:
    with pytest.raises(errors.ForeignKeyViolation, match="an account that does not exist"):
        application.execute(POST, (uuid4(), uuid4(), "GRANT", "issuer", "available", 5, uuid4()))


def test_transfers_of_several_accounts_in_one_statement_reach_each(application: psycopg.Connection) -> None:
    first, second = funded_account(100), funded_account(200)
    application.execute(
        "INSERT INTO quotas_transfer (account_id, id, code, debit, credit, amount, ref) "
        "SELECT a, gen_random_uuid(), 'GRANT', 'issuer', 'available', n, gen_random_uuid() "
        "FROM unnest(%s::uuid[], %s::int[]) AS given (a, n)",
        ([first, second, first], [1, 2, 3]),
    )
    application.commit()

    assert (balance(first).granted, balance(second).granted) == (104, 202)
    assert check_identities(first) == check_identities(second) == []


def test_the_same_thing_does_not_happen_twice(application: psycopg.Connection, account: UUID) -> None:
    reference = uuid4()
    application.execute(POST, (account, uuid4(), "GRANT", "issuer", "available", 5, reference))

    with pytest.raises(errors.UniqueViolation, match="quotas_transfer_once"):
        application.execute(POST, (account, uuid4(), "GRANT", "issuer", "available", 5, reference))
