"""The statement as CSV: the same lines, streamed page by page, and nothing that a spreadsheet would run."""

import csv
import io
from typing import Any
from unittest.mock import patch

import pytest
from asgiref.sync import async_to_sync
from django.test import AsyncClient

from apps.quotas.rest import statement_csv
from tests.integration.quotas.callers import Calls, funded, somebody

pytestmark = [
    pytest.mark.urls("tests.integration.quotas.token_urls"),
    pytest.mark.filterwarnings("ignore:EdDSA is deprecated via RFC 9864"),
]


@pytest.fixture(autouse=True)
def _serving_token(settings: Any, committed: None) -> None:
    settings.SERVICES = ["token"]


@async_to_sync
async def _pieces(calls: Calls, query: dict[str, str], accept: str = "*/*") -> tuple[Any, list[bytes]]:
    answer = await AsyncClient().get("/api/v1/tokens/statement", query, headers={**calls.identity(), "Accept": accept})
    return answer, [piece async for piece in answer.streaming_content]


@pytest.mark.parametrize("ask", [{"query": {"format": "csv"}}, {"query": {}, "accept": "text/html, text/csv;q=0.9"}])
def test_it_has_the_same_lines_and_runs_nothing(ask: dict[str, Any]) -> None:
    owner = somebody()
    for number, reason in enumerate(("first", '=HYPERLINK("x")', "+1", "@x", "-2", "fine, isn't it")):
        funded("user", owner.id, 10 + number, reason=reason)
    answer, pieces = _pieces(owner, {"provider": "openai", **ask["query"]}, ask.get("accept", "*/*"))

    rows = list(csv.DictReader(io.StringIO(b"".join(pieces).decode())))
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert answer["Content-Disposition"] == 'attachment; filename="statement-openai.csv"'
    assert [int(row["balance"]) for row in rows] == [75, 60, 46, 33, 21, 10]
    assert [row["reason"] for row in rows] == ["fine, isn't it", "'-2", "'@x", "'+1", '\'=HYPERLINK("x")', "first"]


def test_it_is_written_page_by_page() -> None:
    owner = somebody()
    for _ in range(5):
        funded("user", owner.id, 1)
    with patch.object(statement_csv, "ROWS_A_PAGE", 2):
        _answer, pieces = _pieces(owner, {"provider": "openai", "format": "csv"})

    assert [piece.count(b"\r\n") for piece in pieces] == [1, 2, 2, 1]
    assert [line.split(b",")[7] for piece in pieces[1:] for line in piece.splitlines()] == [
        b"5",
        b"4",
        b"3",
        b"2",
        b"1",
    ]
