"""A statement as CSV, written as it is read, so that its length costs no memory."""

import csv
import io
from collections.abc import AsyncIterator, Iterable
from itertools import chain

from asgiref.sync import sync_to_async

from apps.core import tenancy
from apps.core.http.caller import Caller
from apps.quotas.statement import Line
from apps.quotas.statement_pages import Page, Pages
from apps.quotas.statement_selectors import Place

COLUMNS = ("at", "id", "code", "from", "to", "tokens", "change", "balance", "reference", "requestId", "reason")
ROWS_A_PAGE = 500

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the start of a formula."""


async def stream(caller: Caller, pages: Pages) -> AsyncIterator[bytes]:
    """The header, then the lines page by page, each read on the request's own thread."""
    yield _text([COLUMNS])
    page = await sync_to_async(_read)(caller, pages, None)
    yield _text(map(_row, page.lines))
    while page.following is not None:
        page = await sync_to_async(_read)(caller, pages, page.following)
        yield _text(map(_row, page.lines))


def _read(caller: Caller, pages: Pages, place: Place | None) -> Page:
    """One page, seeing what the caller sees: the view has left the caller's rows by now."""
    tenancy.enter(caller.user_id, everything=caller.is_admin)
    try:
        return pages.first(ROWS_A_PAGE) if place is None else pages.after(place, ROWS_A_PAGE)
    finally:
        tenancy.leave()


def _row(line: Line) -> Iterable[str]:
    moved = line.movement
    numbers = (moved.tokens, moved.change, line.after.balance)
    return chain(
        (moved.at.isoformat().replace("+00:00", "Z"), str(moved.id), moved.code, moved.debit, moved.credit),
        map(str, numbers),
        (str(moved.ref), harmless(moved.request_id), harmless(moved.reason)),
    )


def harmless(text: str) -> str:
    """Free text that no spreadsheet runs as a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _text(rows: Iterable[Iterable[str]]) -> bytes:
    written = io.StringIO()
    csv.writer(written).writerows(rows)
    return written.getvalue().encode()
