"""One stub for all tests of this directory: they tell their calls apart by request id."""

from collections.abc import Iterator

import pytest

from tests.functional.stubs.running import Stub, start, stop


@pytest.fixture(scope="session")
def stub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stub]:
    running = start(tmp_path_factory.mktemp("stub") / "oracle.jsonl")
    yield running
    assert stop(running) == 0
