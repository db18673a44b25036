"""The whole system, started once by the product's own launcher, on the stores of the test session.

Because system and tests share the stores, a test makes its payers and reads the ledger through the apps' own doors, and
talks to everything else over HTTP, as clients do.
"""

import os
from collections.abc import Iterator

import pytest

from leaky_tokens.local.system import System


def shared_stores() -> dict[str, str]:
    """The environment with which a system of its own works on the test session's stores and secrets."""
    shared = ("DATABASE_URL", "QUOTA_REDIS_URL", "REDIS_URL", "LEAKY_KEY_PEPPER", "LEAKY_CREDENTIAL_KEYS")
    return {
        **{name: os.environ[name] for name in shared},
        "DJANGO_SECRET_KEY": os.environ["DJANGO_SECRET_KEY"],
        "DATABASE_OWNER_URL": os.environ["TEST_DATABASE_OWNER_URL"],
        # A machine that is busy with browsers and other tests is no outage; what an outage is, tests/faults measures.
        "GATEWAY_VALKEY_TIMEOUT_SECONDS": "1",
    }


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory, django_db_setup: None) -> Iterator[System]:
    """The running system; ``system.facts`` says where everything is."""
    running = System.private(tmp_path_factory.mktemp("system"), shared_stores())
    running.start()
    yield running
    running.stop()


@pytest.fixture
def gateway_url(system: System) -> str:
    """The gateway's base URL, without ``/v1``."""
    return str(system.facts["gateway_url"])
