"""Announcements of changes."""

import pytest

from apps.config.domain import CATALOGUE, change_message, read_change


def test_an_announcement_is_read_as_it_was_written() -> None:
    assert change_message(CATALOGUE, 7) == "catalogue:7"
    assert read_change("catalogue:7") == (CATALOGUE, 7)


@pytest.mark.parametrize("junk", ["", "catalogue", ":7", "catalogue:", "catalogue:x"])
def test_junk_is_refused(junk: str) -> None:
    with pytest.raises(ValueError, match=r"not a change message|invalid literal"):
        read_change(junk)
