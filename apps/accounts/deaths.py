"""Telling Valkey of credentials that have died, so that no gateway admits a call by one that it has not heard of yet.

Gateways hear of it from the versions of :mod:`apps.config`, too, and that is what counts: this is the second line, done
once the change has committed and only if Valkey answers.
"""

from collections.abc import Callable
from functools import partial
from uuid import UUID

import structlog
from django.conf import settings
from django.db import transaction

from apps.core.errors import LeakyError
from apps.limiter.api import Call, Limiter, raise_version_calls, revoke_calls

log = structlog.get_logger(__name__)

TIMEOUT_SECONDS = 0.5
KEPT_MS = 3_600_000
"""Longer than any gateway believes a credential that it cannot check, and than any call that was admitted by one."""


def announce_dead(*credentials: str) -> None:
    """Once this transaction commits: calls of these keys, sessions or clients are refused, and those under way cut."""
    for credential in credentials:
        _when_committed(partial(revoke_calls, credential, KEPT_MS))


def announce_version(user_id: UUID, version: int) -> None:
    """Once this transaction commits: a user's tokens with an older version are dead."""
    _when_committed(partial(raise_version_calls, str(user_id), version, KEPT_MS))


def _when_committed(calls: Callable[[], list[Call[bool]]]) -> None:
    transaction.on_commit(partial(_tell, calls))


def _tell(calls: Callable[[], list[Call[bool]]]) -> None:
    try:
        with Limiter(settings.QUOTA_REDIS_URL, timeout_s=TIMEOUT_SECONDS) as limiter:
            limiter.run_all(calls())
    except LeakyError as error:
        log.warning("deaths.not_announced", reason=str(error))
