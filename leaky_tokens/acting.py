"""Who acts in the console, for the audit trail. Views of the API say so themselves, ``manage.py`` does, too."""

from typing import cast

import structlog
from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.db import transaction
from django.http import HttpRequest, HttpResponseBase

from apps.audit.api import Subject, record
from apps.core.acting import OPERATOR, Actor, acting
from leaky_tokens.telemetry import Answer, GetResponse

CONSOLE = "/admin/"
REASON = "reason"
"""The form field in which an operator may say why; every page of the console that changes something has it."""

MOST_REASON = 500
"""Characters of a reason that are kept."""


class ConsoleActorMiddleware:
    """All changes of a request to the console are its operator's; signing in and out leaves an entry, too."""

    sync_capable = async_capable = True

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Answer:
        """Act, answer."""
        if self._is_async:
            return self._answer_later(request)
        if not request.path_info.startswith(CONSOLE):
            return cast("HttpResponseBase", self._get_response(request))
        before = operator(request)
        with acting(before):
            answer: HttpResponseBase = self._get_response(request)
        note_session(before, operator(request))
        return answer

    async def _answer_later(self, request: HttpRequest) -> HttpResponseBase:
        if not request.path_info.startswith(CONSOLE):
            return cast("HttpResponseBase", await self._get_response(request))
        before = await sync_to_async(operator)(request)
        with acting(before):
            answer: HttpResponseBase = await self._get_response(request)
        await sync_to_async(note_session)(before, await sync_to_async(operator)(request))
        return answer


def operator(request: HttpRequest) -> Actor:
    """Who is signed in, with the address, request id and reason of the request. Without an id: nobody is.

    It may ask the database for the session and the user.
    """
    user = request.user
    return Actor(
        kind=OPERATOR,
        id=str(user.pk or ""),
        name=user.get_username(),
        ip=str(request.META.get("REMOTE_ADDR", "")),
        request_id=str(structlog.contextvars.get_contextvars().get("request_id", "")),
        reason=_reason(request),
    )


def _reason(request: HttpRequest) -> str:
    return request.POST.get(REASON, "").replace("\x00", "").strip()[:MOST_REASON]


def note_session(before: Actor, after: Actor) -> None:
    """Write down that an operator signed in or out, if the request did that."""
    if before.id == after.id:
        return
    with transaction.atomic():
        if before.id:
            _record_session("console_session.closed", before)
        if after.id:
            _record_session("console_session.opened", after)


def _record_session(action: str, who: Actor) -> None:
    with acting(who):
        record(action, Subject("user", who.id), None, None)
