"""What the functional tests ask of the running system, which is started in :mod:`tests.system`."""

import pytest

from leaky_tokens.local.system import System
from tests.functional.payers import Oracle, Payer, open_payer
from tests.functional.refusing import Caller


@pytest.fixture
def oracle(system: System) -> Oracle:
    """The stub provider's own record of what it generated for whom."""
    return Oracle(str(system.facts["stubs"]["openai"]))


@pytest.fixture
def payer(system: System, committed: None) -> Payer:
    """Somebody new, with a key and a million tokens."""
    return open_payer(tokens=1_000_000)


@pytest.fixture
def caller(gateway_url: str, payer: Payer, oracle: Oracle) -> Caller:
    """The payer, sending what no SDK would."""
    return Caller(gateway_url, payer, oracle)
