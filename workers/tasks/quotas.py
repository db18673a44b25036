"""The ledger's audit, and the allowances of accounts that nobody has asked since their window began."""

from apps.quotas import api
from workers.celery import app


@app.task
def audit_ledger() -> int:
    """Compare the books with their evidence; a difference sets the alarm and freezes the closing of leases."""
    return len(api.audit_ledger())


@app.task
def seal_days() -> int:
    """Seal the transfers of days that are over."""
    return api.seal_days()


@app.task
def give_allowances() -> int:
    """Let accounts that are in use have the allowance of a window that has begun, before their next call asks for
    it.
    """
    return api.give_due_allowances()
