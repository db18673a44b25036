"""Who belongs to an organisation, who pays, and within which limits: values, no framework."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from apps.core.errors import Conflict, Refused

MEMBER, ADMIN, OWNER = "member", "admin", "owner"

DAY, WEEK, MONTH = "day", "week", "month"
"""Windows of allowances and members' limits: they begin at midnight UTC, weeks on Monday, months on the 1st."""

LEAKY_BUCKET, TOKEN_BUCKET, FIXED_WINDOW = "LEAKY_BUCKET", "TOKEN_BUCKET", "FIXED_WINDOW"
"""Strategies of a tier's bucket."""

POLICE, SHAPE = "police", "shape"
"""Modes of a tier's bucket: what does not fit now is refused, or waits for its turn."""

EVERY_PROVIDER = "*"
"""Stands for the provider where a member's limit counts the tokens of all of them."""


class RoleMissing(Refused):
    """The caller is a member, and this is for those above."""

    code = "missing_org_role"


class InvitationForAnotherAddress(Refused):
    """The secret is good, and the signed-in user has not proven that the invited address is theirs."""

    code = "invitation_for_another_address"


class BoundToOrganisation(Refused):
    """A service account, or a credential bound to one organisation, stays in that organisation."""

    code = "bound_to_organisation"


class LastOwner(Conflict):
    """An organisation keeps at least one owner."""

    code = "last_owner"


class SlugTaken(Conflict):
    """Another organisation has this short name."""

    code = "slug_taken"


class OrganisationExists(Conflict):
    """The caller owns an organisation with this short name already; the sentence names its id. So a retry is safe."""

    code = "organisation_exists"


class AlreadyAMember(Conflict):
    """The invited address is a member's."""

    code = "already_a_member"


class TooMany(Conflict):
    """The caller or organisation has as many as the operators allow."""

    code = "too_many"


@dataclass(frozen=True, slots=True)
class Standing:
    """What a user may do in an organisation: by their membership, or as an OWNER for the product's administrators."""

    org_id: UUID
    user_id: UUID
    role: str

    def insist_on_managing(self) -> None:
        """Admins and owners manage members, invitations and keys.

        Raises:
            RoleMissing: the user is a plain member.
        """
        if self.role not in {ADMIN, OWNER}:
            raise RoleMissing("This needs an admin or owner of the organisation.")

    def insist_on_handling(self, *roles: str) -> None:
        """Owners give and take every role, admins only that of plain members.

        Raises:
            RoleMissing: one of ``roles`` is not this user's to give or take.
        """
        self.insist_on_managing()
        if self.role != OWNER and set(roles) != {MEMBER}:
            raise RoleMissing("This needs an owner of the organisation.")


@dataclass(frozen=True, slots=True)
class Tier:
    """Limits of a payer's calls, per provider.

    ``bucket_capacity`` in tokens and ``leak_rate`` in milli-tokens per second, multipliers applied;
    ``default_max_output`` in provider tokens: the cap of a call that names none. None: no limit.
    ``allowances`` are (provider, window, tokens) that come again with every window.
    ``strategy`` is how the bucket counts: ``window_seconds`` is of FIXED_WINDOW. In ``mode`` ``shape``, which only
    LEAKY_BUCKET has, a call waits up to ``max_wait_ms`` for its turn; in ``police`` it is refused at once.
    ``hold_step`` in provider tokens of output: what a stream's hold begins with and grows by; None: the whole cap.
    """

    name: str
    bucket_capacity: int
    leak_rate: int
    default_max_output: int
    priority: int
    quota_cap: int | None = None
    requests_per_minute: int | None = None
    concurrency: int | None = None
    allowances: tuple[tuple[str, str, int], ...] = ()
    strategy: str = LEAKY_BUCKET
    window_seconds: int = 60
    mode: str = POLICE
    max_wait_ms: int = 10_000
    hold_step: int | None = None


def scaled(base: int, multiplier: int) -> int:
    """``base`` times ``multiplier`` milli-units, rounded half up, never below 1. Source: CONTRACT, section 3.4."""
    return max(1, (base * multiplier + 500) // 1000)


@dataclass(frozen=True, slots=True)
class MemberLimit:
    """What a member's calls may cost an organisation in a ``window``, in tokens. ``provider`` None: at all together."""

    provider: str | None
    window: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls, and who pays: ``payer_kind`` is ``user`` or ``org``. ``allowed_models`` None: all models.

    ``kind`` is the credential's (``api_key``, ``jwt``, ``oauth2``), ``key_id`` what logs and usage events name it by:
    a key's id, else a session's or a client's. ``bound_org_id`` is the organisation that the credential itself is bound
    to; ``org_id`` the one that pays. ``allowed_networks`` None: every address. ``budget`` in tokens, None: none;
    keys with one ``budget_id`` share it. ``member_limits`` are the user's in the organisation that pays.
    ``token_version`` is what a token carries, None for a key.
    It holds until ``expires_at``, when the credential or the payer's tier ends (None: neither does), and until
    credentials or tiers change.
    """

    key_id: str
    user_id: UUID
    payer_kind: str
    payer_id: UUID
    org_id: UUID | None
    tier: str
    allowed_models: frozenset[str] | None
    expires_at: datetime | None
    kind: str = "api_key"
    roles: tuple[str, ...] = ()
    scopes: frozenset[str] = frozenset()
    allowed_networks: tuple[str, ...] | None = None
    client_id: str = ""
    bound_org_id: UUID | None = None
    budget: int | None = None
    budget_id: str = ""
    member_limits: tuple[MemberLimit, ...] = ()
    token_version: int | None = None


def window_start(window: str, now: datetime) -> date:
    """The first day (UTC) of the window that ``now`` lies in."""
    today = now.astimezone(UTC).date()
    if window == WEEK:
        return today - timedelta(days=today.weekday())
    return today.replace(day=1) if window == MONTH else today


def budgets_of(principal: Principal, provider: str, now: datetime) -> tuple[tuple[str, int], ...]:
    """What limits a call beside its payer's account: (id of the budget, tokens that may be spent of it in all).

    The key's own, if it has one, and those of the member for this provider and for every provider. A new window is a
    new budget, so nothing has to be reset. In the order of their ids, in which the ledger locks them.
    """
    if principal.budget is None and not principal.member_limits:
        return ()
    own = ((principal.budget_id, principal.budget),) if principal.budget is not None else ()
    limits = (limit for limit in principal.member_limits if limit.provider in {None, provider})
    return tuple(sorted((*own, *((_budget_id(principal, limit, now), limit.tokens) for limit in limits))))


def _budget_id(principal: Principal, limit: MemberLimit, now: datetime) -> str:
    start = window_start(limit.window, now).isoformat()
    return f"member:{principal.org_id}:{principal.user_id}:{limit.provider or EVERY_PROVIDER}:{start}"
