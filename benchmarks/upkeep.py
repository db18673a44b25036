"""``python -m benchmarks.upkeep [LEASES]``: how many leases a second upkeep doubts and closes when all purses are lost.

On real stores, one account a lease. The work is done by :mod:`benchmarks.lost_purses`, on the subject's core; times are
those of the fault tests, so that it need not wait for as long as production must.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import bank, machine
from benchmarks.subjects import Stub

LEASES = 5_000
TIMES = {
    "QUOTA_LEASE_SECONDS": "10", "QUOTA_RENEW_SECONDS": "3", "QUOTA_SWEEP_SECONDS": "1", "QUOTA_SKEW_SECONDS": "2",
    "GATEWAY_CALL_SECONDS": "15", "LEAKY_LOG_LEVEL": "warning",
}  # fmt: skip


def main() -> int:
    """Start stores, and have it measured by a process that knows them."""
    leases = next((word for word in sys.argv[1:] if word.isdigit()), str(LEASES))
    try:
        cores = machine.choose_cores(force="--force" in sys.argv)
    except machine.UnfitMachineError as unfit:
        print(unfit, file=sys.stderr)
        return 2
    with (
        tempfile.TemporaryDirectory(prefix="leaky-upkeep-") as name,
        bank.running_bank(Path(name) / "bank", cores, Stub(9, 9), drained=False) as stores,
    ):
        command = ["taskset", "-c", str(cores.subject), sys.executable, "-m", "benchmarks.lost_purses", leases]
        return subprocess.run(command, env=os.environ | stores.environment | TIMES, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
