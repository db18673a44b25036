"""What the API reads by an index is read by that index: docs/tokens.md says which."""

import re
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection

from apps.quotas import pools, quota_selectors, receipts, statement_selectors

pytestmark = pytest.mark.django_db

SOME = {
    "account": uuid4(), "accounts": [uuid4(), uuid4()], "before": uuid4(), "first": uuid4(), "last": uuid4(),
    "limit": 50, "request_id": "req_1", "since": "2026-01-01", "until": "2026-02-01", "at": "2026-02-01",
    "id": uuid4(), "only": None,
}  # fmt: skip


MANY_HOLDS = """
INSERT INTO quotas_hold (account_id, id, amount, status, request_id, facts, taken_at, expires_at, ended_at)
SELECT md5('account' || n % 500)::uuid, gen_random_uuid(), 1, 'SETTLED', 'req_' || n, '{}',
       now() - n * interval '1 second', now(), now()
FROM generate_series(1, 20000) AS n
"""
"""Calls of five hundred accounts: enough that it matters to the planner by which index it finds one account's."""


@pytest.mark.parametrize(
    ("statement", "indices"),
    [
        (receipts._NEWEST, ["quotas_hold_pkey"]),
        (receipts._OF_REQUEST, ["quotas_hold_request"]),
        (pools._USE, ["quotas_hold_pkey"]),
        (statement_selectors._MOVEMENTS, ["quotas_transfer_statement"]),
        (statement_selectors._CLOSING, ["quotas_account_pkey", "quotas_transfer_statement"]),
        (
            quota_selectors._BOOKS,
            ["quotas_account_pkey", "quotas_transfer_statement", "quotas_lot_pkey", "quotas_lease_unclosed"],
        ),
    ],
    ids=["receipts", "receipts of a request", "use", "movements", "closing", "books"],
)
def test_no_table_is_read_whole(statement: str, indices: list[str]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(MANY_HOLDS)
        cursor.execute("ANALYZE quotas_hold")
        # A test's tables are so small that reading them whole is cheapest, and so small an index is as good as another.
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(f"EXPLAIN {statement}", _known(statement))
        plan = "\n".join(row[0] for row in cursor.fetchall())

    # Whose the rows are is asked of the accounts, by a policy that the planner may answer either way.
    assert set(re.findall(r"Seq Scan on (\w+)", plan)) <= {"quotas_account"}, plan
    assert [index for index in indices if index not in plan] == [], plan


def _known(statement: str) -> dict[str, Any]:
    return {name: value for name, value in SOME.items() if f"%({name})s" in statement}
