"""Whom a change concerned is known for an hour, and never half: what is not known in full concerns everybody."""

from uuid import uuid4

import pytest
from django.db import connection, transaction

from apps.config.api import changes, touch
from apps.config.models import ConfigChange


@pytest.fixture
def topic() -> str:
    return f"test-{uuid4().hex[:12]}"


@pytest.mark.django_db
def test_subjects_of_all_versions_in_between_are_found(topic: str) -> None:
    for subjects in (["user:1"], ["user:2", "org:3", "user:2"], ["key:4"]):
        touch(topic, *subjects)

    assert changes(topic, 0, 3) == {"user:1", "user:2", "org:3", "key:4"}
    assert changes(topic, 1, 2) == {"user:2", "org:3"}
    assert changes(topic, 3, 3) == set()
    assert changes(topic, 7, 3) is None, "versions that went back say nothing of whom they concern"


@pytest.mark.django_db
def test_one_change_of_everything_concerns_everybody(topic: str) -> None:
    touch(topic, "user:1")
    touch(topic)
    touch(topic, "user:2")

    assert changes(topic, 0, 3) is None
    assert changes(topic, 1, 3) is None
    assert changes(topic, 2, 3) == {"user:2"}


@pytest.mark.django_db
def test_what_is_older_than_an_hour_concerns_everybody_and_is_not_kept(topic: str) -> None:
    touch(topic, "user:1")
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE config_configchange SET changed_at = now() - interval '61 minutes' WHERE topic = %s", [topic]
        )
    touch(topic, "user:2")

    assert changes(topic, 0, 2) is None
    assert changes(topic, 1, 2) == {"user:2"}
    assert [row.subject for row in ConfigChange.objects.filter(topic=topic)] == ["user:2"]


def test_a_change_that_is_rolled_back_concerned_nobody(committed: None, topic: str) -> None:
    with transaction.atomic():
        touch(topic, "user:1")
        transaction.set_rollback(True)
    with transaction.atomic():
        touch(topic, "user:2")

    assert changes(topic, 0, 1) == {"user:2"}
