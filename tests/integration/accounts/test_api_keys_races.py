"""Many at once on the keys of one user, with real transactions."""

from collections import Counter
from datetime import timedelta
from functools import partial

import pytest
from pytest_django import Settings

from apps.accounts.api import KeyEnded, TooManyKeys, create_api_key, revoke_api_key, rotate_api_key
from apps.accounts.models import ApiKey
from apps.audit.models import Entry
from tests.integration.accounts.callers import new_user
from tests.integration.quotas.threads import at_once

pytestmark = pytest.mark.usefixtures("committed")


def test_no_more_keys_are_made_at_once_than_a_user_may_have(settings: Settings) -> None:
    settings.KEYS_PER_USER = 3
    user = new_user()
    made = at_once([partial(create_api_key, user, "laptop") for _ in range(12)])
    assert Counter(type(result) for result in made) == {tuple: 3, TooManyKeys: 9}
    assert ApiKey.objects.filter(owner=user).count() == 3


def test_a_key_is_replaced_once_and_all_others_are_told_by_which() -> None:
    user = new_user()
    old, _ = create_api_key(user, "laptop")
    results = at_once([partial(rotate_api_key, old.pk, timedelta(days=1)) for _ in range(12)])
    assert Counter(type(result) for result in results) == {tuple: 1, KeyEnded: 11}
    (successor,) = ApiKey.objects.filter(owner=user).exclude(pk=old.pk)
    assert {result.successor for result in results if isinstance(result, KeyEnded)} == {successor.pk}


def test_a_key_is_revoked_once() -> None:
    key, _ = create_api_key(new_user(), "laptop")
    assert Counter(at_once([partial(revoke_api_key, key.pk) for _ in range(12)])) == {True: 1, False: 11}
    assert Entry.objects.filter(action="api_key.revoked", subject_id=key.pk).count() == 1


def test_rotating_and_revoking_at_once_leave_no_circle() -> None:
    user = new_user()
    old, _ = create_api_key(user, "laptop")
    calls = [partial(rotate_api_key, old.pk, timedelta(0)) for _ in range(4)]
    calls += [partial(revoke_api_key, old.pk) for _ in range(4)]  # type: ignore[misc]
    results = at_once(calls)
    assert {type(result) for result in results} <= {tuple, KeyEnded, bool}
    assert ApiKey.objects.get(pk=old.pk).revoked_at is not None
    assert ApiKey.objects.filter(owner=user).count() <= 2
