"""Everything that can go wrong and that a caller may want to name.

    LeakyError
    ├── ConfigurationError          a setting is missing or out of bounds; the process refuses to start
    ├── Refused                     a client's fault or limit: answered, never retried by us
    │   ├── InvalidCredential       unknown, malformed, expired or revoked; one answer for all
    │   ├── AccountSuspended        the payer may not spend
    │   ├── NotAMember              the organisation named is not the caller's to use
    │   ├── NotFound                there is no such thing, or it is not the caller's; the two look the same
    │   ├── Conflict                what is there already contradicts the request
    │   ├── LockedOut               too many wrong passwords; says when to try again
    │   ├── Unacceptable            something entered cannot be taken; names the field
    │   ├── InsufficientQuota       the account has less than the hold needs
    │   ├── InsufficientBudget      the key's own budget has less than the hold needs
    │   └── BucketFull              the leaky bucket has no room now; says when
    ├── HoldNotFound                a settlement names a hold that was never taken
    └── StoreUnavailable            PostgreSQL or Valkey did not answer; the caller is not to blame

Each class carries a stable ``code``. HTTP appears in the gateway's and the services' error tables only.
"""

from dataclasses import dataclass


class LeakyError(Exception):
    """Root of all errors that this product raises on purpose."""

    code = "internal_error"


class ConfigurationError(LeakyError):
    """A setting is missing, of the wrong type or out of its bounds."""

    code = "configuration_error"


class Refused(LeakyError):
    """The call is refused because of the caller's own input, credential or limit."""

    code = "refused"


class InvalidCredential(Refused):
    """The credential is unknown, malformed, expired or revoked. Callers must not learn which."""

    code = "invalid_api_key"


class AccountSuspended(Refused):
    """The credential is good, its payer is suspended."""

    code = "account_suspended"


class NotAMember(Refused):
    """The caller may not let this organisation pay, or does not belong to it."""

    code = "not_a_member"


class NotFound(Refused):
    """There is no such thing, or it is not the caller's. Callers must not learn which."""

    code = "not_found"


class Conflict(Refused):
    """What is there already contradicts the request; nothing was changed. The sentence says what, the code which."""

    code = "conflict"


@dataclass
class LockedOut(Refused):
    """Too many wrong passwords for this name from this address. The right one is not looked at either."""

    wait_seconds: int
    code = "locked_out"


@dataclass
class Unacceptable(Refused):
    """What was entered in ``field`` cannot be taken; ``message`` tells the person who entered it why."""

    field: str
    message: str
    code = "invalid_request"

    def __str__(self) -> str:
        return self.message


@dataclass
class InsufficientQuota(Refused):
    """The account cannot cover the hold. Amounts in tokens. ``cap``: the tier's for the day, where that is the
    limit.
    """

    needed: int
    available: int
    held: int
    granted: int
    cap: int | None = None
    code = "insufficient_quota"


@dataclass
class InsufficientBudget(Refused):
    """A key's or member's own budget cannot cover the hold, whatever its payer has. Amounts in tokens."""

    needed: int
    budget: int
    spent: int
    held: int
    budget_id: str = ""
    code = "key_budget_exceeded"


@dataclass
class BucketFull(Refused):
    """The bucket has no room for the pour now; ``wait_ms`` is how long until it would, exactly."""

    wait_ms: int
    capacity: int
    level: int
    code = "rate_limit_exceeded"


class HoldNotFound(LeakyError):
    """The hold was never taken in this ledger."""

    code = "hold_not_found"


class StoreUnavailable(LeakyError):
    """A store did not answer in time. Fail closed: 503, never 429."""

    code = "store_unavailable"
