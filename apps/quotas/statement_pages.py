"""A statement page by page, newest first. Where a page ends, its balances are kept: nothing is counted twice."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from apps.quotas.statement import Balances, Line, lines, undone
from apps.quotas.statement_selectors import Place, closing_at, movements


@dataclass(frozen=True, slots=True)
class Page:
    """Some lines; where the next page begins, or None."""

    closing: Balances
    lines: list[Line]
    following: Place | None


@dataclass(frozen=True, slots=True)
class Pages:
    """An account's movements within ``since`` … ``until``, both included; None: no bound."""

    account: UUID
    since: datetime | None = None
    until: datetime | None = None

    def first(self, limit: int) -> Page:
        """The newest lines.

        Raises:
            LookupError: there is no such account.
        """
        closing = closing_at(self.account, self.until)
        if closing is None:
            raise LookupError(self.account)
        return self._page(closing.balances, limit, until=closing.at, after=None)

    def after(self, place: Place, limit: int) -> Page:
        """The lines before an earlier page's last one."""
        return self._page(place.before, limit, until=self.until, after=place)

    def _page(self, balances: Balances, limit: int, *, until: datetime | None, after: Place | None) -> Page:
        found = movements(self.account, since=self.since, until=until, after=after, limit=limit + 1)
        page = list(lines(balances, found[:limit]))
        return Page(balances, page, _end(page[-1]) if len(found) > limit else None)


def _end(line: Line) -> Place:
    last = line.movement
    return Place(last.at, last.id, undone(line.after, last.debit, last.credit, last.tokens))
