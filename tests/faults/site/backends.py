"""Which backend's site a scenario runs on."""

import pytest

LEASES, ROW_LOCK = "leases", "postgres"

on_leases = pytest.mark.parametrize("site", [LEASES], indirect=True)
on_row_locks = pytest.mark.parametrize("site", [ROW_LOCK], indirect=True)
on_both = pytest.mark.parametrize("site", [LEASES, ROW_LOCK], indirect=True)
