"""Sites of the harness; and a system on stores of its own, with row locks, whose holds live for two seconds."""

import logging
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import environ
import pytest
from django.db import connection
from pytest_django import DjangoDbBlocker

from leaky_tokens.local.system import System
from tests.faults.gateways import GatewayProcess
from tests.faults.site.backends import SETTINGS
from tests.faults.site.ledger_store import Template
from tests.faults.site.programs import Stub
from tests.faults.site.site import Site
from tests.faults.stores import Stores
from tests.functional.payers import Oracle, Payer, open_payer

logging.getLogger("httpx").setLevel(logging.WARNING)

HOLD_SECONDS, RENEW_SECONDS = 2, 0.5
DATABASE_SECONDS = 1.5

StartGateway = Callable[..., GatewayProcess]
OpenPayers = Callable[[int], list[Payer]]
Sites = Callable[[str], Site]


@pytest.fixture(scope="package")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    stores = Stores(tmp_path_factory.mktemp("stores"))
    stores.start()
    yield stores
    stores.stop()


@pytest.fixture(scope="package")
def system(tmp_path_factory: pytest.TempPathFactory, stores: Stores) -> Iterator[System]:
    own = {
        "QUOTA_BACKEND": "postgres",
        "GATEWAY_HOLD_SECONDS": str(HOLD_SECONDS),
        "GATEWAY_RENEW_SECONDS": str(RENEW_SECONDS),
        "GATEWAY_DATABASE_SECONDS": str(DATABASE_SECONDS),
    }
    running = System.private(tmp_path_factory.mktemp("system"), stores.environment | own)
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
        own = {f"GATEWAY_{name.upper()}": str(value) for name, value in settings.items()}
        log = tmp_path / f"gateway-{next(numbers)}.log"
        started.append(GatewayProcess(log, stores.environment | {"QUOTA_BACKEND": "postgres"} | own))
        return started[-1]

    yield start
    for gateway in started:
        gateway.kill()


@pytest.fixture(scope="session")
def stub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stub]:
    """The provider of every site. It is no part of any and never harmed."""
    stub = Stub(tmp_path_factory.mktemp("stub"))
    stub.start()
    yield stub
    stub.kill()


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory, stub: Stub) -> Template:
    return Template.make(tmp_path_factory.mktemp("template"), stub.url)


@pytest.fixture(scope="session")
def sites(tmp_path_factory: pytest.TempPathFactory, template: Template, stub: Stub) -> Iterator[Sites]:
    """The site of a kind, made when it is first asked for; all end with the session."""
    made: dict[str, Site] = {}

    def site_of(kind: str) -> Site:
        if kind not in made:
            made[kind] = Site(tmp_path_factory.mktemp("site"), template, stub, SETTINGS[kind])
            made[kind].start()
        return made[kind]

    yield site_of
    for site in made.values():
        site.stop()


@pytest.fixture
def site(
    request: pytest.FixtureRequest,
    sites: Sites,
    django_db_blocker: DjangoDbBlocker,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Site]:
    """A site of the kind that the test's parameter names, and the tests' Django on its stores; whole afterwards."""
    site = sites(request.param)
    with django_db_blocker.unblock(), site.as_ours(monkeypatch):
        yield site
        site.heal()
