"""Times of last use: the newest of each key, kept until they are written."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

from apps.core.errors import StoreUnavailable
from gateway.last_used import LastUsed

if TYPE_CHECKING:
    from gateway.control_plane import Database


class Notes:
    """The database's part. ``away``: it refuses."""

    def __init__(self) -> None:
        self.written: list[dict[str, datetime]] = []
        self.away = False

    async def note_key_uses(self, uses: Mapping[str, datetime]) -> None:
        if self.away:
            raise StoreUnavailable("away")
        self.written.append(dict(uses))


def at(second: float) -> datetime:
    return datetime.fromtimestamp(second, UTC)


async def test_the_newest_use_of_each_key_is_written_once() -> None:
    notes = Notes()
    last_used = LastUsed(cast("Database", notes), write_seconds=10)
    for key, second in (("a", 1.0), ("b", 2.0), ("a", 3.0)):
        last_used.note(key, second)

    await last_used.write()
    await last_used.write()

    assert notes.written == [{"a": at(3), "b": at(2)}]


async def test_what_could_not_be_written_is_kept_unless_a_newer_use_came() -> None:
    notes = Notes()
    notes.away = True
    last_used = LastUsed(cast("Database", notes), write_seconds=10)
    last_used.note("a", 1.0)
    last_used.note("b", 1.0)
    await last_used.write()
    last_used.note("b", 2.0)

    notes.away = False
    await last_used.write()

    assert notes.written == [{"a": at(1), "b": at(2)}]
