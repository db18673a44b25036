"""Many orders for one pool at once come to what one of them asks for."""

from functools import partial
from typing import Any

import pytest

from apps.quotas.api import account_id, balance, check_identities
from apps.quotas.pools import Outcome, Raise, raise_pool
from tests.integration.quotas.callers import organisation, somebody
from tests.integration.quotas.threads import at_once

pytestmark = pytest.mark.usefixtures("committed")
THREADS = 8


@pytest.mark.parametrize("key", [None, "one-key"])
def test_a_pool_is_filled_once(settings: Any, key: str | None) -> None:
    settings.QUOTA_APPROVAL_TOKENS = 1_000_000
    org = organisation()
    operators = [somebody(admin=True) for _ in range(THREADS if key is None else 1)] * (1 if key is None else THREADS)
    wish = Raise(org, "openai", 1000, "race")

    outcomes = at_once([partial(raise_pool, operator.caller, wish, key) for operator in operators])

    account = account_id("org", org, "openai")
    assert balance(account).granted == 1000
    assert check_identities(account) == []
    expected = THREADS if key else 1  # The same order is told the same each time.
    assert outcomes.count(Outcome.GRANTED) == expected
