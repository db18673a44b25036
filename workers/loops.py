"""Every loop, one list. Imported once Django is set up, because it reaches the apps."""

from functools import partial

from apps.quotas import api as quotas
from workers.loop import Loop

EXPIRED_HOLDS_A_PASS = 500

LOOPS = (
    # A hold whose caller died is given back to its account.
    Loop("expire_holds", partial(quotas.expire_holds, limit=EXPIRED_HOLDS_A_PASS), full=EXPIRED_HOLDS_A_PASS),
)
