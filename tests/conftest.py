"""Fixtures shared by all tests. The servers themselves are started by :mod:`tests.stores`.

The running system is here, and not beside one kind of its tests, so that a session starts it once.
"""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from pytest_django import DjangoDbBlocker

from tests.system import gateway_url, system

__all__ = ["gateway_url", "system"]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files whose tests leave rows behind come last: tests that are rolled back find only what migrations made."""
    committing = {item.path for item in items if "committed" in getattr(item, "fixturenames", ())}
    items.sort(key=lambda item: item.path in committing)


@pytest.fixture(scope="session")
def django_db_setup() -> None:
    """Migrate as the owner. Tests then work as the application's role, in the one database, as production does."""
    environment = os.environ | {"DATABASE_URL": os.environ["TEST_DATABASE_OWNER_URL"]}
    subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], check=True, env=environment)


@pytest.fixture
def committed(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """A database whose transactions are real: they commit, other connections see them, nothing is rolled back.

    Tests that use it work on payers of their own, because the ledger cannot be emptied, also not by a test.
    """
    with django_db_blocker.unblock():
        yield
