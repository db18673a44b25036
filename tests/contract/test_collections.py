"""The public contract, as a Postman user would hold us to it."""

from pathlib import Path

import pytest

from tests.contract import newman

COLLECTIONS = sorted(Path(__file__).parent.glob("*.postman_collection.json"))


@pytest.mark.timeout(360)
@pytest.mark.parametrize("collection", COLLECTIONS, ids=lambda path: path.name.partition(".")[0])
def test_every_assertion_of_the_collection_holds(collection: Path, gateway_url: str, tmp_path: Path) -> None:
    outcome = newman.run(collection, gateway_url, tmp_path / "report.json")

    assert outcome.failures == []
    assert outcome.assertions > 0
