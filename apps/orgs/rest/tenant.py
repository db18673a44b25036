"""From a request to what the caller may do in the organisation that its path names; and the shape of lists."""

from typing import Any

from django.db.models import QuerySet
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from apps.core.http.pagination import page
from apps.core.http.views import caller_of, identifier
from apps.orgs.domain import Standing
from apps.orgs.selectors import standing_for


def standing_at(request: Request, org_id: str) -> Standing:
    """What the caller may do in the organisation that the path names.

    Raises:
        NotFound: there is none, or it is none of the caller's.
    """
    return standing_for(caller_of(request), identifier(org_id))


def checked(serializer: BaseSerializer[Any]) -> dict[str, Any]:
    """The input as the serializer understands it.

    Raises:
        ValidationError: naming what is wrong with it.
    """
    serializer.is_valid(raise_exception=True)
    return dict(serializer.validated_data)


def listed(request: Request, rows: QuerySet[Any], item: type[BaseSerializer[Any]]) -> Response:
    """One page of ``rows``, and the cursor of the next."""
    found, following = page(rows, request.query_params.get("cursor"), request.query_params.get("limit"))
    return Response({"items": item(found, many=True).data, "next": following})
