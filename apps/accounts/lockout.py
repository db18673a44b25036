"""Guessing passwords: after a few wrong ones a name is locked for the address that they came from, longer each time.

django-axes counts, per name and address. Its own lock lasts as long as it remembers; ours begins at a minute and
doubles with every further wrong password, up to an hour, while the failures are remembered for a day. Whoever tries
one password on many names stays below that with each: an address with many failures in all is locked for every name.
"""

import math
from datetime import timedelta
from typing import Any

from axes.handlers.database import AxesDatabaseHandler
from axes.handlers.proxy import AxesProxyHandler
from axes.helpers import get_failure_limit
from axes.models import AccessAttempt
from django.conf import settings
from django.db.models import Max, Sum
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from apps.accounts.domain import Visitor

FIRST_SECONDS, LONGEST_SECONDS = 60, 3600
ADDRESS_LOCK = timedelta(minutes=15)
"""How long names count for their address after their last failure, and how long it is locked after its last one."""


class GrowingLock(AxesDatabaseHandler):  # type: ignore[misc]  # axes is untyped
    """Axes' book-keeping, with locks that grow."""

    def is_locked(self, request: HttpRequest, credentials: dict[str, Any] | None = None) -> bool:
        """Whether no password is looked at now."""
        return self.wait(request, credentials) > timedelta(0)

    def wait(self, request: Any, credentials: dict[str, Any] | None) -> timedelta:
        """How long the name stays locked for the address, or the address for all names; zero if neither is."""
        return max(self._wait_of_name(request, credentials), self._wait_of_address(request))

    def _wait_of_name(self, request: Any, credentials: dict[str, Any] | None) -> timedelta:
        (attempts,) = self.get_user_attempts(request, credentials)
        found = attempts.aggregate(failures=Sum("failures_since_start"), last=Max("attempt_time"))
        beyond = (found["failures"] or 0) - get_failure_limit(request, credentials)
        if beyond < 0:
            return timedelta(0)
        until = found["last"] + timedelta(seconds=lock_seconds(beyond))
        rest: timedelta = until - request.axes_attempt_time
        return max(timedelta(0), rest)

    def _wait_of_address(self, request: Any) -> timedelta:
        """Attempts on different names do not wait for each other: as many as are looked at at once may come on top."""
        if not request.axes_ip_address:
            return timedelta(0)
        since = request.axes_attempt_time - ADDRESS_LOCK
        recent = AccessAttempt.objects.filter(ip_address=request.axes_ip_address, attempt_time__gt=since)
        found = recent.aggregate(failures=Sum("failures_since_start"), last=Max("attempt_time"))
        if (found["failures"] or 0) < settings.SIGN_IN_FAILURES_PER_ADDRESS:
            return timedelta(0)
        rest: timedelta = found["last"] - since
        return rest


def is_over(attempt: AccessAttempt) -> bool:
    """Whether this row alone locks nothing now."""
    beyond = attempt.failures_since_start - settings.AXES_FAILURE_LIMIT
    return bool(beyond < 0 or attempt.attempt_time + timedelta(seconds=lock_seconds(beyond)) <= timezone.now())


def lock_seconds(beyond: int) -> int:
    """How long a lock lasts after so many wrong passwords beyond the limit."""
    return min(LONGEST_SECONDS, FIRST_SECONDS << min(beyond, 10))


def request_of(visitor: Visitor) -> HttpRequest:
    """What axes needs to know of a sign-in and no more: it writes down the fields of a form that it is shown."""
    request = HttpRequest()
    request.method = "POST"
    request.META = {"REMOTE_ADDR": visitor.ip, "HTTP_USER_AGENT": visitor.user_agent or "-", "PATH_INFO": "sign-in"}
    return request


def wait_seconds(request: HttpRequest, username: str) -> int:
    """How long this name stays locked for the address of ``request``, in whole seconds; 0 if it is not."""
    AxesProxyHandler.update_request(request)
    rest: timedelta = AxesProxyHandler.get_implementation().wait(request, {"username": username})
    return math.ceil(rest.total_seconds())


def forgive(request: HttpRequest, username: str) -> None:
    """Forget the wrong passwords, after the right one."""
    AxesProxyHandler.get_implementation().reset_user_attempts(request, {"username": username})


def address(request: HttpRequest) -> str | None:
    """The client's address, for axes; it keeps no text that is none."""
    return request.META.get("REMOTE_ADDR") or None


def refusal(request: HttpRequest, _response: HttpResponse | None, credentials: dict[str, Any] | None) -> HttpResponse:
    """What the console's sign-in answers once a name is locked."""
    wait = wait_seconds(request, (credentials or {}).get("username", ""))
    answer = HttpResponse(f"Too many wrong passwords. Try again in {wait} seconds.", "text/plain", 429)
    answer["Retry-After"] = str(wait)
    return answer
