"""The product's own worker as it is run: it becomes ready, and ends overdue holds once each, also when it is killed."""

import pytest

from apps.quotas.api import balance, check_identities, reserve
from tests.integration.quotas.payers import OVERDUE_MS, entries, funded_account, hold_of
from tests.integration.workers.conftest import Broker
from tests.integration.workers.processes import Start, until
from workers.ready import is_ready

APP = "workers.celery"
HOLDS = 400

pytestmark = pytest.mark.usefixtures("committed")


def test_worker_is_ready_and_stops(worker: Start, broker: Broker) -> None:
    broker.start()
    process = worker(APP, REDIS_URL=broker.valkey.url())
    until(lambda: is_ready(broker.valkey.url(), "worker"), 20, "ready")
    assert process.terminate() <= 5
    assert not is_ready(broker.valkey.url(), "worker")
    assert "loop failed" not in process.text()


def test_each_overdue_hold_ends_once_although_the_worker_is_killed_in_mid_pass(worker: Start) -> None:
    account = funded_account(HOLDS * 10)
    for _ in range(HOLDS):
        reserve(hold_of(account, 10), ttl_ms=OVERDUE_MS)

    killed = worker(APP)
    until(lambda: balance(account).held < HOLDS * 10, 20, "some holds have ended")
    killed.kill()
    left = balance(account).held
    assert 0 < left < HOLDS * 10

    worker(APP)
    until(lambda: balance(account).held == 0, 20, "the next worker ends the rest")
    assert balance(account).available == HOLDS * 10
    assert check_identities(account) == []
    assert len([code for code, _ in entries(account) if code == "RELEASE"]) == HOLDS
