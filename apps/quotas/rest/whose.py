"""From a request's parameters to the payer and the account that it is about."""

from uuid import UUID

from rest_framework.request import Request

from apps.core.errors import NotFound
from apps.core.http.caller import Caller
from apps.core.http.errors import ApiError, bad_request
from apps.core.http.views import caller_of
from apps.quotas import payers
from apps.quotas.payers import Payer

NO_QUOTA = "quota not found"


def no_quota() -> ApiError:
    """404 in the contract's words."""
    return ApiError(404, "not_found", NO_QUOTA)


def required(request: Request, name: str) -> str:
    """A query parameter that must be there and not be blank, trimmed.

    Raises:
        ApiError: 400 ``<name> is required``.
    """
    text = str(request.query_params.get(name, "")).strip()
    if not text:
        raise bad_request(f"{name} is required")
    return text


def id_in(text: str, name: str) -> UUID:
    """An id in its canonical form, upper case allowed.

    Raises:
        ApiError: 400 ``invalid <name>``.
    """
    try:
        found = UUID(text)
    except ValueError:
        raise bad_request(f"invalid {name}") from None
    if str(found) != text.lower():
        raise bad_request(f"invalid {name}")
    return found


def user_asked(request: Request) -> Payer:
    """The user that ``userId`` names.

    Raises:
        ApiError: 400, there is no such parameter, or it is no id.
        NotYours: 403, it is somebody else's.
    """
    return payers.user(caller_of(request), id_in(required(request, "userId"), "userId"))


def organisation_asked(request: Request) -> Payer:
    """The organisation that ``orgId`` names.

    Raises:
        ApiError: 400, there is no such parameter, or it is no id; 404, it is none of the caller's.
    """
    return organisation(caller_of(request), id_in(required(request, "orgId"), "orgId"))


def organisation(caller: Caller, org_id: UUID) -> Payer:
    """An organisation of the caller's. One that is not looks like one without a quota.

    Raises:
        ApiError: 404.
    """
    try:
        return payers.organisation(caller, org_id)
    except NotFound:
        raise no_quota() from None


def payer_asked(request: Request) -> Payer:
    """The payer that ``userId`` or ``orgId`` names; without either the one that the credential itself pays for.

    Raises:
        ApiError: 400, both are there, or one is no id; 404, an organisation that is none of the caller's.
        NotYours: 403, another user.
    """
    named = [name for name in ("userId", "orgId") if name in request.query_params]
    if len(named) > 1:
        raise bad_request("name either userId or orgId")
    if not named:
        return payers.own(caller_of(request))
    return user_asked(request) if named == ["userId"] else organisation_asked(request)


def naming(payer: Payer) -> dict[str, str]:
    """How an answer names its payer: by ``userId`` or by ``orgId``."""
    return {"orgId" if payer.kind == payers.ORG else "userId": str(payer.id)}
