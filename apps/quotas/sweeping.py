"""The sweeper's passes over all shards of Valkey, which keep count of them: one that comes too early is none."""

import math

from django.conf import settings

from apps.limiter.api import SHARDS, Limiter, Sweep, sweep_call

MISSED = 4
"""Passes without a sign of life after which a hold is ended."""

HOLDS_A_CALL = 500


def sweep_holds(limiter: Limiter) -> int:
    """One pass, if it is due; returns how many holds were ended and remainders freed.

    Raises:
        StoreUnavailable: some of it may be done.
    """
    figures = figures_of_sweep()
    done, shards = 0, list(range(SHARDS))
    while shards:
        answers = limiter.run_all([sweep_call(shard, figures) for shard in shards])
        done += sum(answer.swept + answer.freed for answer in answers)
        shards = [shard for shard, answer in zip(shards, answers, strict=True) if answer.more]
    return done


def figures_of_sweep() -> Sweep:
    """The rest of a swept hold is kept until its call cannot run any more."""
    every = settings.QUOTA_SWEEP_SECONDS
    kept = math.ceil(settings.QUOTA_CALL_SECONDS / every) + 2
    return Sweep(HOLDS_A_CALL, int(every * 1000), MISSED, kept, settings.QUOTA_TOMBSTONE_SECONDS * 1000)
