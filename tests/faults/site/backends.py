"""The kinds of site that scenarios run on."""

import pytest

SETTINGS = {
    "leases": {"QUOTA_BACKEND": "leases"},
    "postgres": {"QUOTA_BACKEND": "postgres", "GATEWAY_DATABASE_SECONDS": "10"},
    # For outages that are longer than a lease of the other sites lives.
    "long leases": {"QUOTA_BACKEND": "leases", "QUOTA_LEASE_SECONDS": "600", "QUOTA_RENEW_SECONDS": "180"},
}

on_leases = pytest.mark.parametrize("site", ["leases"], indirect=True)
on_long_leases = pytest.mark.parametrize("site", ["long leases"], indirect=True)
on_both = pytest.mark.parametrize("site", ["leases", "postgres"], indirect=True)
