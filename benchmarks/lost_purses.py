"""``python -m benchmarks.lost_purses LEASES``: leases whose purses never were there, and upkeep that ends them.

Upkeep's own passes do all of it: they find no purse, put the lease in doubt, wait until it may be closed, and give what
it has left back to its account.
"""

import sys
import time
from collections.abc import Callable
from uuid import uuid4

import django

django.setup()

from rich.console import Console  # noqa: E402
from rich.progress import track  # noqa: E402

from apps.quotas import api as quotas  # noqa: E402
from apps.quotas.models import Lease  # noqa: E402

TOKENS, PART = 1_000, 100
LOOK_SECONDS = 0.5
YOUNG_SECONDS = 11
"""Until the last of them is not taken for one that is on its way."""


def main(leases: int) -> int:
    """Make the leases, have them ended, and say how fast that was."""
    for _ in track(range(leases), description=f"{leases:,} leases"):
        _lease()
    time.sleep(YOUNG_SECONDS)
    console, upkeep = Console(width=120), quotas.Upkeep(quotas.quota_store())
    for step, left in (("doubted", {"state": "OPEN"}), ("closed", {"state": "DOUBT"})):
        busy = _until(lambda left=left: not Lease.objects.filter(**left).exists(), upkeep)
        console.print(f"{step}: {leases:,} in {busy:.1f} s, {leases / busy:,.0f} a second")
    differences = quotas.check_identities()
    console.print("the ledger adds up" if not differences else f"{differences[:3]}")
    return 1 if differences else 0


def _lease() -> None:
    payer = uuid4()
    account = quotas.grant(
        payer_kind="user", payer_id=payer, provider="openai", tokens=TOKENS, grant_id=uuid4(), reason="b", actor="b"
    )
    quotas.ensure_lease(quotas.Need(account.id, "user", payer, "openai", PART, generation=quotas.ledger_generation()))


def _until(is_done: Callable[[], bool], upkeep: quotas.Upkeep) -> float:
    """Passes until it is done; the seconds of those that changed anything."""
    busy = 0.0
    while not is_done():
        began = time.monotonic()
        if upkeep.keep():
            busy += time.monotonic() - began
        else:
            time.sleep(LOOK_SECONDS)
    return busy


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
