"""The documentation lists the whole menu."""

from pathlib import Path

import pytest

from gateway.stubs import faults

DOCUMENT = (Path(__file__).parents[3] / "docs" / "stub-openai.md").read_text()


@pytest.mark.parametrize("name", [*faults.MENU, *faults.OPTIONS])
def test_every_order_is_documented(name: str) -> None:
    assert any(f"`{name}{end}" in DOCUMENT for end in ("`", "=", "[=", ":"))
