"""A server of the user's own with a single role: migrations pass, and the ledger still refuses to be rewritten."""

import os
import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import errors

SCRATCH = "leaky_one_role"


@pytest.fixture
def database(committed: None) -> Iterator[str]:
    """The address of an empty database on the same server."""
    owner_url = os.environ["TEST_DATABASE_OWNER_URL"]
    with psycopg.connect(owner_url, autocommit=True) as owner:
        owner.execute(f"DROP DATABASE IF EXISTS {SCRATCH}")
        owner.execute(f"CREATE DATABASE {SCRATCH}")
        yield urlsplit(owner_url)._replace(path=f"/{SCRATCH}").geturl()
        owner.execute(f"DROP DATABASE {SCRATCH} WITH (FORCE)")


@pytest.mark.parametrize("application_role", ["nobody_of_that_name", "leaky_owner"])
def test_the_ledger_stands_without_a_second_role(database: str, application_role: str) -> None:
    environment = os.environ | {"DATABASE_URL": database, "DATABASE_APP_ROLE": application_role}
    grant = ["grant_tokens", "--org", "018f3f6e-0000-7000-8000-000000000001", "--provider", "openai", "--tokens", "100"]

    for command in (["migrate", "-v0"], grant):
        subprocess.run([sys.executable, "manage.py", *command], check=True, env=environment, stdout=subprocess.DEVNULL)

    with psycopg.connect(database, autocommit=True) as only:
        assert only.execute("SELECT granted, available FROM quotas_account").fetchall() == [(100, 100)]
        for statement in ("DELETE FROM quotas_transfer", "UPDATE quotas_account SET available = 0, granted = 0"):
            with pytest.raises(errors.InsufficientPrivilege):
                only.execute(statement)
