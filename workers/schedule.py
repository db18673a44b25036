"""Every periodic job, one list.

Each expires when the next is due: after an outage one of them runs, not a heap of them. None may count on running
once or on time; what must flow is a loop (:mod:`workers.loops`).
"""

from typing import TypedDict

BEAT_SECONDS = 5
CHECK_LOOPS_SECONDS = 15
AUDIT_SECONDS = 300
ALLOWANCE_SECONDS = 600
MINUTE, HOUR, DAY = 60, 3600, 86_400


class Entry(TypedDict):
    """One periodic job as Celery's beat reads it; ``schedule`` in seconds."""

    task: str
    schedule: int
    options: dict[str, int]


def every(seconds: int, task: str) -> Entry:
    """A job each ``seconds``, dropped when nobody took it within that time."""
    return {"task": task, "schedule": seconds, "options": {"expires": seconds}}


SCHEDULE: dict[str, Entry] = {
    # Beat is alive, the broker takes messages, and a worker executes them.
    "beat_heartbeat": every(BEAT_SECONDS, "workers.tasks.watch.beat_heartbeat"),
    # The watchdog of the loops.
    "check_loops": every(CHECK_LOOPS_SECONDS, "workers.tasks.watch.check_loops"),
    # Keys that sign tokens do not grow old.
    "rotate_signing_keys": every(HOUR, "workers.tasks.accounts.rotate_signing_keys"),
    # The ledger adds up, and Valkey has no more than it was given.
    "audit_ledger": every(AUDIT_SECONDS, "workers.tasks.quotas.audit_ledger"),
    # Nobody rewrites what was booked on a day that is over without being found out.
    "seal_days": every(HOUR, "workers.tasks.quotas.seal_days"),
    # Allowances of a new window, for those who will look before they call.
    "give_allowances": every(ALLOWANCE_SECONDS, "workers.tasks.quotas.give_allowances"),
    # Sign-ins that are long over are forgotten.
    "purge_sessions": every(DAY, "workers.tasks.accounts.purge_sessions"),
    # So are tokens of OAuth2 clients.
    "purge_oauth_tokens": every(DAY, "workers.tasks.accounts.purge_oauth_tokens"),
    # What operators take back is taken as it returns from calls; what nobody approves does not wait for ever.
    "pursue_orders": every(MINUTE, "workers.tasks.orders.pursue_orders"),
    "expire_orders": every(HOUR, "workers.tasks.orders.expire_orders"),
}
