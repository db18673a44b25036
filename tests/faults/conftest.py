"""A system on stores of its own, whose holds live for two seconds, so that a fault's end is seen soon."""

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import environ
import pytest
from django.db import connection
from pytest_django import DjangoDbBlocker

from leaky_tokens.local.system import System
from tests.faults.gateways import GatewayProcess
from tests.faults.stores import Stores
from tests.functional.payers import Oracle, Payer, open_payer

HOLD_SECONDS, RENEW_SECONDS = 2, 0.5
DATABASE_SECONDS = 1.5

StartGateway = Callable[..., GatewayProcess]
OpenPayers = Callable[[int], list[Payer]]


@pytest.fixture(scope="package")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    stores = Stores(tmp_path_factory.mktemp("stores"))
    stores.start()
    yield stores
    stores.stop()


@pytest.fixture(scope="package")
def system(tmp_path_factory: pytest.TempPathFactory, stores: Stores) -> Iterator[System]:
    times = {
        "GATEWAY_HOLD_SECONDS": str(HOLD_SECONDS),
        "GATEWAY_RENEW_SECONDS": str(RENEW_SECONDS),
        "GATEWAY_DATABASE_SECONDS": str(DATABASE_SECONDS),
    }
    running = System.private(tmp_path_factory.mktemp("system"), stores.environment | times)
    running.start()
    yield running
    running.stop()


@pytest.fixture
def gateway_url(system: System) -> str:
    return str(system.facts["gateway_url"])


@pytest.fixture
def oracle(system: System) -> Oracle:
    return Oracle(str(system.facts["stubs"]["openai"]))


@pytest.fixture
def ledger(
    system: System, stores: Stores, django_db_blocker: DjangoDbBlocker, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """The tests' own Django on the database of this system."""
    theirs = environ.Env.db_url_config(stores.environment["DATABASE_URL"])
    with django_db_blocker.unblock():
        connection.close()
        for name in ("NAME", "HOST", "PORT", "USER", "PASSWORD"):
            monkeypatch.setitem(connection.settings_dict, name, theirs[name])
        yield
        connection.close()


@pytest.fixture
def payer(ledger: None) -> Payer:
    return open_payer(tokens=1_000_000)


@pytest.fixture
def payers(ledger: None) -> list[Payer]:
    return [open_payer(tokens=1_000_000) for _ in range(3)]


@pytest.fixture
def start_gateway(system: System, stores: Stores, tmp_path: Path) -> Iterator[StartGateway]:
    """Start a gateway beside the system's own; ``settings`` are variables without their ``GATEWAY_``."""
    started: list[GatewayProcess] = []
    numbers = count()

    def start(**settings: float) -> GatewayProcess:
        times = {f"GATEWAY_{name.upper()}": str(value) for name, value in settings.items()}
        log = tmp_path / f"gateway-{next(numbers)}.log"
        started.append(GatewayProcess(log, stores.environment | times))
        return started[-1]

    yield start
    for gateway in started:
        gateway.kill()
