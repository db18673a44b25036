"""Lists that are sorted by a name and short enough to be read whole: one page, and where the next begins."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.core.signing import BadSignature, Signer
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.http.errors import bad_request
from apps.core.http.pagination import page_size

_signer = Signer(salt="apps.quotas.rest.names", sep="~")


def page_of(request: Request, items: Sequence[Mapping[str, Any]], name: str = "provider") -> Response:
    """One page of ``items``, which are sorted by ``name``.

    Raises:
        ApiError: 400, cursor or limit is wrong.
    """
    size, cursor = page_size(request.query_params.get("limit")), request.query_params.get("cursor")
    rest = [item for item in items if cursor is None or item[name] > _position(cursor)]
    following = _signer.sign(str(rest[size - 1][name])) if len(rest) > size else None
    return Response({"items": rest[:size], "next": following})


def _position(cursor: str) -> str:
    try:
        return _signer.unsign(cursor)
    except BadSignature as error:
        raise bad_request("cursor must be the value of next in an earlier answer", "invalid_cursor") from error
