"""The kinds of site that scenarios run on."""

import pytest

PATIENT = {
    "GATEWAY_VALKEY_TIMEOUT_SECONDS": "1",
    "GATEWAY_DATABASE_SECONDS": "10",
    "GATEWAY_LEASE_WAIT_SECONDS": "10",
}
"""A machine that is busy with the rest of a test is no outage."""

LONG = {"QUOTA_BACKEND": "leases", "QUOTA_LEASE_SECONDS": "600", "QUOTA_RENEW_SECONDS": "330"}

SETTINGS = {
    "leases": {"QUOTA_BACKEND": "leases", **PATIENT},
    # A row lock's hold that nobody renews is sold again at once: no gateway may seem dead because the machine is busy.
    "postgres": {"QUOTA_BACKEND": "postgres", "GATEWAY_HOLD_SECONDS": "20", **PATIENT},
    # Where outages are measured, some of them longer than a lease of the other sites lives.
    "long leases": LONG,
    # All stores of a site are on one disk: PostgreSQL that ends holds up Valkey's writes, at times for longer than a
    # gateway waits by default. Where PostgreSQL's absence is measured, that is not it.
    "patient long leases": {**LONG, "GATEWAY_VALKEY_TIMEOUT_SECONDS": "1"},
}

on_leases = pytest.mark.parametrize("site", ["leases"], indirect=True)
on_long_leases = pytest.mark.parametrize("site", ["long leases"], indirect=True)
on_patient_long_leases = pytest.mark.parametrize("site", ["patient long leases"], indirect=True)
on_both_in_the_long_run = pytest.mark.parametrize(
    "site", ["leases", pytest.param("postgres", marks=pytest.mark.long)], indirect=True
)
on_both = pytest.mark.parametrize("site", ["leases", "postgres"], indirect=True)
