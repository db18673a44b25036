"""Versions rise with the change that they stand for, and are announced after its commit."""

import threading
from collections.abc import Iterator
from uuid import uuid4

import pytest
import redis
from django.conf import settings
from django.db import connection, transaction
from django.db.transaction import TransactionManagementError
from prometheus_client import REGISTRY
from pytest_django import DjangoDbBlocker, Settings

from apps.config import services
from apps.config.api import CHANNEL, touch, versions

LISTEN_SECONDS = 5
THREADS, TOUCHES = 8, 25


@pytest.fixture
def announcements() -> Iterator[redis.client.PubSub]:
    with redis.Redis.from_url(settings.REDIS_URL, decode_responses=True) as client, client.pubsub() as listener:
        listener.subscribe(CHANNEL)
        listener.get_message(timeout=LISTEN_SECONDS)
        yield listener


@pytest.fixture
def topic() -> str:
    return f"test-{uuid4().hex[:12]}"


@pytest.fixture
def unreachable(settings: Settings) -> Iterator[None]:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    services._publisher.cache_clear()
    yield
    services._publisher.cache_clear()


def test_a_commit_is_announced(committed: None, announcements: redis.client.PubSub, topic: str) -> None:
    with transaction.atomic():
        assert touch(topic) == 1
        assert announcements.get_message(timeout=0.1) is None, "announced before the commit"
    message = announcements.get_message(timeout=LISTEN_SECONDS)
    assert message is not None
    assert message["data"] == f"{topic}:1"
    assert versions()[topic] == 1


def test_a_rollback_is_not(committed: None, announcements: redis.client.PubSub, topic: str) -> None:
    with transaction.atomic():
        touch(topic)
        transaction.set_rollback(True)
    with transaction.atomic():
        touch(topic)
    message = announcements.get_message(timeout=LISTEN_SECONDS)
    assert message is not None
    assert message["data"] == f"{topic}:1", "the first thing heard is the commit; the rolled-back version was not kept"


def test_without_a_transaction_there_is_nothing_to_stand_for(committed: None, topic: str) -> None:
    with pytest.raises(TransactionManagementError):
        touch(topic)
    assert topic not in versions()


def test_changes_at_once_give_each_version_once(
    committed: None, django_db_blocker: DjangoDbBlocker, topic: str
) -> None:
    seen: list[int] = []
    barrier = threading.Barrier(THREADS)

    def work() -> None:
        with django_db_blocker.unblock():
            barrier.wait()
            for _ in range(TOUCHES):
                with transaction.atomic():
                    seen.append(touch(topic))
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == list(range(1, THREADS * TOUCHES + 1))
    assert versions()[topic] == THREADS * TOUCHES


def test_a_failing_announcement_is_counted_and_the_commit_stands(
    committed: None, unreachable: None, topic: str
) -> None:
    before = REGISTRY.get_sample_value("leaky_config_publish_failures_total") or 0
    with transaction.atomic():
        touch(topic)
    assert versions()[topic] == 1
    assert REGISTRY.get_sample_value("leaky_config_publish_failures_total") == before + 1
