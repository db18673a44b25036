"""Reads of tiers, memberships and principals."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from django.db.models import BooleanField, Exists, ExpressionWrapper, OuterRef, Q
from django.db.models.functions import Now

from apps.accounts.api import AccessClaims, CredentialRecord, find_access, find_key
from apps.core.errors import AccountSuspended, ConfigurationError, InvalidCredential, NotAMember, Refused
from apps.orgs import domain
from apps.orgs.models import MAX_CAPACITY, MAX_LEAK_RATE, Membership, Tier, TierAssignment


def tiers() -> Mapping[str, domain.Tier]:
    """All tiers by name. One query."""
    return {tier.name: _value(tier) for tier in Tier.objects.all()}


def principal_of(credential: str | AccessClaims, org_id: UUID | None = None) -> domain.Principal:
    """Who calls with this key or verified token, who pays, and the payer's tier. At most five queries.

    ``org_id`` chooses an organisation that the user is a member of as the payer; a credential that is bound to one pays
    with that one only.

    Raises:
        InvalidCredential: it is not good, or its user is no longer a member of the organisation that it is bound to.
        NotAMember: it is good, and ``org_id`` is not one that it may let pay.
        AccountSuspended: it is good, the organisation that pays is suspended.
    """
    found = find_key(credential) if isinstance(credential, str) else find_access(credential)
    if found.org_id is not None:
        _insist_on_membership(found, found.org_id, InvalidCredential)
    payer_org = _payer_org(found, org_id)
    payer_kind, payer_id = ("user", found.user_id) if payer_org is None else ("org", payer_org)
    return domain.Principal(
        key_id=found.id,
        user_id=found.user_id,
        payer_kind=payer_kind,
        payer_id=payer_id,
        org_id=payer_org,
        tier=tier_of(payer_kind, payer_id, found.roles),
        allowed_models=found.allowed_models,
        expires_at=found.expires_at,
        kind=found.kind,
        roles=found.roles,
        scopes=found.scopes,
        allowed_networks=found.allowed_networks,
        client_id=found.client_id,
        bound_org_id=found.org_id,
        budget=found.budget,
        budget_id=found.budget_id,
    )


def _payer_org(found: CredentialRecord, wanted: UUID | None) -> UUID | None:
    if wanted is None or wanted == found.org_id:
        return found.org_id
    if found.org_id is not None:
        raise NotAMember
    _insist_on_membership(found, wanted, NotAMember)
    return wanted


def tier_of(payer_kind: str, payer_id: UUID, roles: Sequence[str] = ()) -> str:
    """Name of a payer's tier: of those assigned and in force the one with the highest priority.

    A user who has been assigned none has the one that a role of theirs is named like, again by priority; otherwise it
    is the default.

    Raises:
        ConfigurationError: nothing is assigned and there is no default tier.
    """
    in_force = TierAssignment.objects.filter(
        Q(ends_at=None) | Q(ends_at__gt=Now()), tier=OuterRef("pk"), payer_kind=payer_kind, payer_id=payer_id
    )
    by_role = Q(name__in=["", *roles] if payer_kind == "user" else [""])  # No tier has the name "".
    candidates = Tier.objects.annotate(assigned=Exists(in_force), by_role=ExpressionWrapper(by_role, BooleanField()))
    candidates = candidates.filter(Q(assigned=True) | Q(by_role=True) | Q(is_default=True))
    ordered = candidates.order_by("-assigned", "-by_role", "-priority", "name")
    name = ordered.values_list("name", flat=True).first()
    if name is None:
        raise ConfigurationError("there is no default tier")
    return name


def is_member(org_id: UUID, user_id: UUID) -> bool:
    """Whether the user may let the organisation pay."""
    return Membership.objects.filter(org=org_id, user=user_id).exists()


def organisations_run_by(user_id: UUID) -> list[UUID]:
    """Organisations whose members' keys the user may manage: as an owner or admin."""
    runs = Membership.objects.filter(user=user_id, role__in=[Membership.Role.ADMIN, Membership.Role.OWNER])
    return list(runs.values_list("org_id", flat=True))


def _insist_on_membership(found: CredentialRecord, org_id: UUID, refusal: type[Refused]) -> None:
    membership = Membership.objects.filter(org=org_id, user=found.user_id).values_list("org__suspended").first()
    if membership is None:
        raise refusal
    if membership[0]:
        raise AccountSuspended


def _value(row: Tier) -> domain.Tier:
    return domain.Tier(
        name=row.name,
        bucket_capacity=min(MAX_CAPACITY, domain.scaled(row.bucket_capacity, row.capacity_multiplier)),
        leak_rate=min(MAX_LEAK_RATE, domain.scaled(row.leak_rate, row.leak_multiplier)),
        default_max_output=row.default_max_output,
        priority=row.priority,
        quota_cap=row.quota_cap,
        requests_per_minute=row.requests_per_minute,
        concurrency=row.concurrency,
    )
