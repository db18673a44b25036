"""Lists by keyset: newest first, and the next page begins after the last row that was seen, however many were added.

Rows have time-ordered ids (``apps.core.ids.uuid7``), so the id alone says where a page ended.
"""

import re
from typing import Any, TypeVar

from django.core.exceptions import ValidationError
from django.core.signing import BadSignature, Signer
from django.db.models import Model, QuerySet

from apps.core.http.errors import bad_request

DEFAULT_LIMIT, MOST = 50, 200
"""Rows of a page when the client names no number, and at most."""

Row = TypeVar("Row", bound=Model)

_signer = Signer(salt="apps.core.http.pagination", sep=".")
_NUMBER = re.compile(r"[0-9]{1,9}")


def page(rows: "QuerySet[Row]", cursor: str | None, limit: str | None) -> tuple[list[Row], str | None]:
    """One page of ``rows``, by falling id, and the cursor of the next (None: this is the last).

    ``cursor`` and ``limit`` are the query parameters as the client wrote them; None where it wrote none.

    Raises:
        ApiError: 400, the cursor is none of ours, or the limit is not a number from 1 to :data:`MOST`.
    """
    size = page_size(limit)
    if cursor is not None:
        rows = rows.filter(pk__lt=_position(rows.model, cursor))
    found = list(rows.order_by("-pk")[: size + 1])
    return found[:size], (_cursor(found[size - 1]) if len(found) > size else None)


def page_size(limit: str | None) -> int:
    """Rows of a page, from the query parameter as the client wrote it.

    Raises:
        ApiError: 400, it is not a number from 1 to :data:`MOST`.
    """
    if limit is None:
        return DEFAULT_LIMIT
    if not _NUMBER.fullmatch(limit) or not 1 <= int(limit) <= MOST:
        raise bad_request(f"limit must be a number from 1 to {MOST}")
    return int(limit)


def _cursor(row: Model) -> str:
    return _signer.sign(str(row.pk))


def _position(model: type[Model], cursor: str) -> Any:
    try:
        return model._meta.pk.to_python(_signer.unsign(cursor))  # noqa: SLF001 (Django documents it as public)
    except (BadSignature, ValidationError) as error:
        raise bad_request("cursor must be the value of next in an earlier answer", "invalid_cursor") from error
