"""What every view of the services' API does: believe the gateway's token alone, hold its declared permission, see its
own tenant's rows, answer errors in one shape.
"""

from collections.abc import Mapping
from contextvars import Token
from functools import cache
from typing import Any, ClassVar, cast
from uuid import UUID

import structlog
from django.conf import settings
from django.http import HttpRequest
from joserfc.jwk import OKPKey
from rest_framework.authentication import BaseAuthentication
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import JSONParser
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.core import acting, tenancy
from apps.core.errors import InvalidCredential, NotFound
from apps.core.http import internal_token
from apps.core.http.caller import ANONYMOUS, API_KEY, OAUTH2, Caller
from apps.core.http.permissions import Declared, Permission


class GatewayIdentity(BaseAuthentication):
    """The caller of the gateway's internal token. Without one, nobody is signed in; cookies are not looked at."""

    def authenticate(self, request: Request) -> tuple[Caller, None]:
        """The caller.

        Raises:
            InvalidCredential: there is a token, and it is not good.
        """
        text = request.headers.get(internal_token.HEADER)
        if text is None:
            return Caller(ANONYMOUS, ip=str(request.META.get("REMOTE_ADDR", ""))), None
        return internal_token.verify(text, _keys(tuple(settings.INTERNAL_KEYS)), settings.SERVICES), None

    def authenticate_header(self, request: Request) -> str:  # noqa: ARG002
        """What ``WWW-Authenticate`` says."""
        return "Bearer"


@cache
def _keys(public: tuple[str, ...]) -> list[OKPKey]:
    return internal_token.verification_keys(public)


def client_ip(request: HttpRequest) -> str:
    """The address of whoever sent a request that is not of Django REST framework: the gateway's word, else the peer."""
    text, peer = request.headers.get(internal_token.HEADER), str(request.META.get("REMOTE_ADDR", ""))
    if text is None:
        return peer
    try:
        return internal_token.verify(text, _keys(tuple(settings.INTERNAL_KEYS)), settings.SERVICES).ip
    except InvalidCredential:
        return peer  # Whoever forged it is who speaks to us.


def caller_of(request: Request) -> Caller:
    """Who calls."""
    return cast("Caller", request.user)


def identifier(text: str) -> UUID:
    """The id in a path.

    Raises:
        NotFound: it is malformed. Whoever guesses learns no more than from an id that is somebody else's.
    """
    try:
        found = UUID(text)
    except ValueError as error:
        raise NotFound from error
    if str(found) != text.lower():
        raise NotFound
    return found


def _actor(caller: Caller) -> acting.Actor:
    kinds = {API_KEY: acting.API_KEY, OAUTH2: acting.CLIENT, ANONYMOUS: acting.SYSTEM}
    name = caller.client_id or (caller.credential_id if caller.kind == API_KEY else "")
    identity = structlog.contextvars.get_contextvars().get("request_id", "")
    return acting.Actor(
        kinds.get(caller.kind, acting.PERSON), str(caller.user_id or ""), name, caller.ip, str(identity)
    )


class JsonOnly(BaseContentNegotiation):
    """JSON whatever the client accepts: a refusal for want of another format helps nobody."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        """The parser of the request's content type, if we have it."""
        kind = (request.content_type or "").partition(";")[0].strip()
        return next((parser for parser in parsers if parser.media_type == kind), None)

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:  # noqa: ARG002
        """JSON."""
        return renderers[0], renderers[0].media_type


class ApiView(APIView):
    """Base of all views under ``/api``. ``permissions`` declares one per method."""

    permissions: ClassVar[Mapping[str, Permission]] = {}
    authentication_classes = [GatewayIdentity]
    permission_classes = [Declared]
    parser_classes = [JSONParser]
    renderer_classes = [JSONRenderer]
    content_negotiation_class = JsonOnly
    _acting: Token[acting.Actor] | None = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """After authentication and permission: rows of this caller only, and their id in every log line."""
        super().initial(request, *args, **kwargs)
        caller = caller_of(request)
        tenancy.enter(caller.user_id, everything=caller.is_admin)
        structlog.contextvars.bind_contextvars(user_id=str(caller.user_id or ""), credential_id=caller.credential_id)
        self._acting = acting.begin(_actor(caller))

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        """Whatever happened, the connection goes back seeing nobody's rows."""
        tenancy.leave()
        if self._acting is not None:
            acting.end(self._acting)
        return super().finalize_response(request, response, *args, **kwargs)
