"""What a client may write as cursor and limit. Pages themselves: ``tests/integration/audit``."""

import pytest
from django.core.signing import Signer

from apps.core.http.errors import ApiError
from apps.core.http.pagination import page
from apps.outbox.models import OutboxEvent

NOTHING = OutboxEvent.objects.none()


@pytest.mark.parametrize("limit", [None, "1", "50", "200"])
def test_limits_that_are_taken(limit: str | None) -> None:
    assert page(NOTHING, None, limit) == ([], None)


@pytest.mark.parametrize("limit", ["", "0", "201", "-1", "1.5", "ten", " 5", "٣", "1e2", "9" * 5000])
def test_limits_that_are_refused(limit: str) -> None:
    with pytest.raises(ApiError) as refusal:
        page(NOTHING, None, limit)
    assert refusal.value.status_code == 400


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "0" * 32,
        "00000000-0000-0000-0000-000000000000",
        "\x00",
        "0" * 32 + ".forged",
        Signer(salt="apps.core.http.pagination", sep=".").sign("no-uuid"),
        Signer(salt="another place", sep=".").sign("0" * 32),
    ],
)
def test_cursors_that_are_not_ours_are_refused(cursor: str) -> None:
    with pytest.raises(ApiError) as refusal:
        page(NOTHING, cursor, None)
    assert (refusal.value.status_code, refusal.value.get_codes()) == (400, "invalid_cursor")
