"""The figures of a run: those of docs/accounting.md, made smaller in one proportion where a run would be too long."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figures:
    """In ms, unless they count passes."""

    lease_ms: int = 120_000
    renew_ms: int = 40_000
    call_ms: int = 150_000
    heartbeat_ms: int = 10_000
    pass_ms: int = 15_000
    missed_passes: int = 4
    skew_ms: int = 15_000
    grant_deadline_ms: int = 5_000
    tombstone_ms: int = 600_000
    younger_ms: int = 2_000

    @property
    def quarantine_passes(self) -> int:
        """MAXCALL in passes, and two."""
        return -(-self.call_ms // self.pass_ms) + 2


FIGURES = Figures()
"""A fifth of the shipped lease, a sixth of the longest call, a quarter of the skew; the rest as shipped."""
