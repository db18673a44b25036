"""When a key was last used only ever moves forward, and noting it wakes no gateway."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from apps.accounts import api as accounts
from apps.accounts.models import ApiKey
from apps.config.api import versions

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.django_db
def test_the_latest_use_stays() -> None:
    name = f"u{uuid4().hex[:12]}"
    user = accounts.open_user(username=name, email=f"{name}@example.org", password=uuid4().hex)
    used, unused = (accounts.create_api_key(user, "test")[0] for _ in range(2))
    before = versions()

    for moment in (NOON, NOON - timedelta(hours=1), NOON + timedelta(seconds=1), NOON):
        accounts.note_key_uses({used.id: moment, "0000000000": moment})

    assert ApiKey.objects.get(pk=used.id).last_used_at == NOON + timedelta(seconds=1)
    assert ApiKey.objects.get(pk=unused.id).last_used_at is None
    assert versions() == before
