"""RELIABILITY.md I11: whoever has been shut out stays out, at every gateway, also at one that was frozen meanwhile."""

import logging
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import transaction
from pytest_django import Settings

from apps.accounts import api as accounts
from apps.accounts.models import User
from apps.accounts.services import save_user
from apps.config import services
from leaky_tokens.local.system import System
from tests.faults.gateways import GatewayProcess
from tests.faults.knocking import Knocking
from tests.faults.stores import Stores
from tests.functional.identities import access_token
from tests.functional.payers import Payer, eventually

GATEWAYS = 4
SHARE, MOST_SECONDS = 0.99, 1.0
SOON_SECONDS = 0.1
FREEZE_SECONDS = 2.5
"""Longer than memory is believed without a comparison."""

log = logging.getLogger(__name__)
Change = Callable[[], object]


@pytest.fixture(scope="module")
def gateways(
    system: System, stores: Stores, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[GatewayProcess]]:
    """Four that start at once and serve all tests here: none of them is harmed."""
    logs = tmp_path_factory.mktemp("gateways")
    with ThreadPoolExecutor(GATEWAYS) as starting:
        started = list(
            starting.map(lambda number: GatewayProcess(logs / f"{number}.log", stores.environment), range(GATEWAYS))
        )
    yield started
    for gateway in started:
        gateway.kill()


@pytest.fixture
def announced(stores: Stores, settings: Settings) -> Iterator[None]:
    """Changes are announced on this system's own Valkey. Without it they are not heard of, as if messages were lost."""
    settings.REDIS_URL = stores.environment["REDIS_URL"]
    services._publisher.cache_clear()
    yield
    services._publisher.cache_clear()


def committed_at(change: Change) -> float:
    """Make a change; the monotonic time right after its commit, before anybody is told of it."""
    moments: list[float] = []
    with transaction.atomic():
        transaction.on_commit(lambda: moments.append(time.monotonic()))
        change()
    return moments[0]


def delays_of(gateways: list[GatewayProcess], credential: str, change: Change) -> list[float]:
    """For each gateway, how long after the change the last request began that it let in, in seconds; at least 0."""
    with Knocking([gateway.url for gateway in gateways], credential) as knocking:
        assert eventually(knocking.accepted_everywhere)
        changed = committed_at(change)
        assert eventually(lambda: knocking.refused_everywhere(after=changed))
    latest = [0.0] * len(gateways)
    for knock in knocking.accepted(after=changed):
        latest[knock.gateway] = max(latest[knock.gateway], knock.began - changed)
    return latest


def another_key(payer: Payer) -> tuple[str, Change]:
    key, text = accounts.create_api_key(User.objects.get(pk=payer.user_id), "to be revoked")
    return text, lambda: accounts.revoke_api_key(key.id)


def a_token(payer: Payer, *, disabled: bool) -> tuple[str, Change]:
    """A token and what ends it: the user is disabled, or has a new password, as the services of accounts do it."""

    def change() -> None:
        user = User.objects.get(pk=payer.user_id)
        if disabled:
            user.is_active = False
        else:
            user.set_password("another long password")
        save_user(user)

    return access_token(payer.user_id), change


@pytest.mark.parametrize(
    "revocations", [5, pytest.param(25, marks=[pytest.mark.long, pytest.mark.timeout(600)])], ids="{}-keys".format
)
def test_a_revoked_key_is_refused_at_once_by_all(
    gateways: list[GatewayProcess], payer: Payer, announced: None, revocations: int
) -> None:
    delays: list[float] = []
    for _ in range(revocations):
        delays += delays_of(gateways, *another_key(payer))

    delays.sort()
    p99 = delays[round(SHARE * (len(delays) - 1))]
    log.info(
        "n=%d p50=%.1f p99=%.1f max=%.1f ms",
        len(delays),
        *(1000 * s for s in (delays[len(delays) // 2], p99, delays[-1])),
    )
    assert p99 <= SOON_SECONDS, delays
    assert delays[-1] <= MOST_SECONDS, delays


def test_when_the_message_is_lost_a_look_every_half_second_makes_up_for_it(
    gateways: list[GatewayProcess], payer: Payer
) -> None:
    delays = [delay for _ in range(3) for delay in delays_of(gateways, *another_key(payer))]

    assert max(delays) <= MOST_SECONDS, delays


@pytest.mark.parametrize("disabled", [True, False], ids=["disabled", "new password"])
def test_a_users_tokens_end_at_once_everywhere(
    gateways: list[GatewayProcess], payer: Payer, announced: None, disabled: bool
) -> None:
    token, change = a_token(payer, disabled=disabled)

    delays = delays_of(gateways, token, change)

    assert max(delays) <= MOST_SECONDS


@pytest.mark.parametrize("credential", ["key", "token"])
@pytest.mark.parametrize("freezes", [1, pytest.param(5, marks=[pytest.mark.long, pytest.mark.timeout(600)])])
def test_a_gateway_that_was_frozen_admits_nobody_after_it_thaws(
    gateways: list[GatewayProcess], payers: list[Payer], freezes: int, credential: str
) -> None:
    frozen = gateways[-1]
    for number in range(freezes):
        payer = payers[0]
        text, change = another_key(payer) if credential == "key" else a_token(payer, disabled=False)
        with Knocking([gateway.url for gateway in gateways], text) as knocking:
            assert eventually(knocking.accepted_everywhere)
            frozen.send(signal.SIGSTOP)
            changed = committed_at(change)
            time.sleep(FREEZE_SECONDS)
            frozen.send(signal.SIGCONT)
            assert eventually(lambda since=changed: knocking.refused_everywhere(after=since))
        after_thaw = [knock for knock in knocking.accepted(after=changed) if knock.gateway == GATEWAYS - 1]
        assert after_thaw == [], f"freeze {number}"
