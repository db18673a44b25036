"""Reads of tiers, members and principals. Those of members begin with the caller and find only the caller's."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import (
    BooleanField,
    CharField,
    Exists,
    ExpressionWrapper,
    F,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Value,
)
from django.db.models.functions import Now

from apps.accounts.api import AccessClaims, ApiKey, CredentialRecord, User, find_access, find_key, keys_paid_by
from apps.core.errors import AccountSuspended, ConfigurationError, InvalidCredential, NotAMember, NotFound, Refused
from apps.core.http.caller import Caller
from apps.orgs import domain
from apps.orgs.models import (
    MAX_CAPACITY,
    MAX_LEAK_RATE,
    Invitation,
    MemberLimit,
    Membership,
    Organisation,
    Tier,
    TierAssignment,
)


def tiers() -> Mapping[str, domain.Tier]:
    """All tiers by name. Two queries."""
    return {tier.name: _value(tier) for tier in Tier.objects.prefetch_related("allowances")}


def principal_of(credential: str | AccessClaims, org_id: UUID | None = None) -> domain.Principal:
    """Who calls with this key or verified token, who pays and within which limits. At most five queries.

    ``org_id`` chooses an organisation that the user is a member of as the payer; a credential that is bound to one pays
    with that one only.

    Raises:
        InvalidCredential: it is not good, or its user is no longer a member of the organisation that it is bound to.
        NotAMember: it is good, and ``org_id`` is not one that it may let pay.
        AccountSuspended: it is good, the organisation that pays is suspended.
    """
    found = find_key(credential) if isinstance(credential, str) else find_access(credential)
    limits = _limits_in(found, found.org_id, InvalidCredential) if found.org_id is not None else ()
    payer_org = _payer_org(found, org_id)
    if payer_org is not None and payer_org != found.org_id:
        limits = _limits_in(found, payer_org, NotAMember)
    payer_kind, payer_id = ("user", found.user_id) if payer_org is None else ("org", payer_org)
    tier, tier_ends_at = _tier_until(payer_kind, payer_id, found.roles)
    return domain.Principal(
        key_id=found.id,
        user_id=found.user_id,
        payer_kind=payer_kind,
        payer_id=payer_id,
        org_id=payer_org,
        tier=tier,
        allowed_models=found.allowed_models,
        expires_at=min((end for end in (found.expires_at, tier_ends_at) if end is not None), default=None),
        kind=found.kind,
        roles=found.roles,
        scopes=found.scopes,
        allowed_networks=found.allowed_networks,
        client_id=found.client_id,
        bound_org_id=found.org_id,
        budget=found.budget,
        budget_id=found.budget_id,
        member_limits=limits,
        token_version=found.token_version,
    )


def _payer_org(found: CredentialRecord, wanted: UUID | None) -> UUID | None:
    if wanted is None or wanted == found.org_id:
        return found.org_id
    if found.org_id is not None:
        raise NotAMember
    return wanted


def tier_of(payer_kind: str, payer_id: UUID, roles: Sequence[str] = ()) -> str:
    """Name of a payer's tier: of those assigned and in force the one with the highest priority.

    A user who has been assigned none has the one that a role of theirs is named like, again by priority; otherwise it
    is the default.

    Raises:
        ConfigurationError: nothing is assigned and there is no default tier.
    """
    return _tier_until(payer_kind, payer_id, roles)[0]


def _tier_until(payer_kind: str, payer_id: UUID, roles: Sequence[str]) -> tuple[str, datetime | None]:
    """A payer's tier, and when it ends if it is assigned with an end. One query."""
    in_force = TierAssignment.objects.filter(
        Q(ends_at=None) | Q(ends_at__gt=Now()), tier=OuterRef("pk"), payer_kind=payer_kind, payer_id=payer_id
    )
    by_role = Q(name__in=["", *roles] if payer_kind == "user" else [""])  # No tier has the name "".
    candidates = Tier.objects.annotate(
        assigned=Exists(in_force),
        ends_at=Subquery(in_force.values("ends_at")[:1]),
        by_role=ExpressionWrapper(by_role, BooleanField()),
    )
    candidates = candidates.filter(Q(assigned=True) | Q(by_role=True) | Q(is_default=True))
    ordered = candidates.order_by("-assigned", "-by_role", "-priority", "name")
    found = ordered.values_list("name", "ends_at").first()
    if found is None:
        raise ConfigurationError("there is no default tier")
    return found


def organisations_for(caller: Caller) -> QuerySet[Organisation]:
    """Organisations of the caller, each with the caller's ``role``; for the product's administrators all of them.

    A credential that is bound to an organisation finds that one only.
    """
    own = Membership.objects.filter(org=OuterRef("pk"), user=caller.user_id).values("role")
    role = Value(domain.OWNER, output_field=CharField()) if caller.is_admin else Subquery(own)
    rows = Organisation.objects.annotate(role=role).exclude(role=None)
    return rows if caller.org_id is None else rows.filter(pk=caller.org_id)


def organisation_for(caller: Caller, org_id: UUID) -> Any:
    """One organisation of the caller's, with the caller's ``role``.

    Raises:
        NotFound: there is none, or it is none of the caller's.
    """
    org = organisations_for(caller).filter(pk=org_id).first()
    if org is None:
        raise NotFound
    return org


def standing_for(caller: Caller, org_id: UUID) -> domain.Standing:
    """What the caller may do in an organisation.

    Raises:
        NotFound: there is none, or it is none of the caller's.
    """
    if caller.user_id is None:
        raise NotFound
    return domain.Standing(org_id, caller.user_id, organisation_for(caller, org_id).role)


def founder_for(caller: Caller) -> User:
    """The caller, if they may found an organisation or join another.

    Raises:
        BoundToOrganisation: a service account, or a credential that is bound to an organisation.
    """
    user = User.objects.filter(Q(pk=caller.user_id), kind=User.Kind.PERSON).first()
    if user is None or caller.org_id is not None:
        raise domain.BoundToOrganisation("This credential is for one organisation only.")
    return user


def members_of(standing: domain.Standing) -> QuerySet[User]:
    """Users who belong to the organisation, each with their ``role``."""
    return User.objects.filter(memberships__org=standing.org_id).annotate(role=F("memberships__role"))


def limits_in(standing: domain.Standing) -> QuerySet[MemberLimit]:
    """All members' limits.

    Raises:
        RoleMissing: the caller is a plain member.
    """
    standing.insist_on_managing()
    return MemberLimit.objects.filter(membership__org=standing.org_id).select_related("membership")


def limits_of(standing: domain.Standing, user_id: UUID) -> QuerySet[MemberLimit]:
    """One member's limits; plain members see their own.

    Raises:
        RoleMissing: they are another's, and the caller is a plain member.
        NotFound: the user is no member.
    """
    if user_id != standing.user_id:
        standing.insist_on_managing()
    if not is_member(standing.org_id, user_id):
        raise NotFound
    limits = MemberLimit.objects.filter(membership__org=standing.org_id, membership__user=user_id)
    return limits.select_related("membership")


def service_accounts_of(standing: domain.Standing) -> QuerySet[User]:
    """The organisation's service accounts, disabled ones too.

    Raises:
        RoleMissing: the caller is a plain member.
    """
    standing.insist_on_managing()
    return members_of(standing).filter(kind=User.Kind.SERVICE)


def invitations_of(standing: domain.Standing) -> QuerySet[Invitation]:
    """The organisation's offers that can be accepted now.

    Raises:
        RoleMissing: the caller is a plain member.
    """
    standing.insist_on_managing()
    return open_invitations().filter(org=standing.org_id)


def keys_of(standing: domain.Standing) -> QuerySet[ApiKey]:
    """Keys for which the organisation pays, of all its members, revoked ones left out.

    Raises:
        RoleMissing: the caller is a plain member.
    """
    standing.insist_on_managing()
    return keys_paid_by(standing.org_id)


def keys_of_service_account(standing: domain.Standing, account_id: UUID) -> QuerySet[ApiKey]:
    """Keys of one of the organisation's service accounts, revoked ones left out.

    Raises:
        RoleMissing: the caller is a plain member.
        NotFound: the organisation has no such service account.
    """
    if not service_accounts_of(standing).filter(pk=account_id).exists():
        raise NotFound
    return keys_of(standing).filter(owner=account_id)


def open_invitations() -> QuerySet[Invitation]:
    """Offers that can be accepted now."""
    return Invitation.objects.filter(accepted_at=None, revoked_at=None, expires_at__gt=Now())


def is_member(org_id: UUID, user_id: UUID) -> bool:
    """Whether the user may let the organisation pay."""
    return Membership.objects.filter(org=org_id, user=user_id).exists()


def is_organisation(org_id: UUID) -> bool:
    """Whether there is such an organisation."""
    return Organisation.objects.filter(pk=org_id).exists()


def organisations_run_by(user_id: UUID) -> list[UUID]:
    """Organisations whose members' keys the user may manage: as an owner or admin."""
    runs = Membership.objects.filter(user=user_id, role__in=[Membership.Role.ADMIN, Membership.Role.OWNER])
    return list(runs.values_list("org_id", flat=True))


def _limits_in(found: CredentialRecord, org_id: UUID, refusal: type[Refused]) -> tuple[domain.MemberLimit, ...]:
    """The user's limits as a member of the organisation. One query; a member without any is one row of nothing."""
    memberships = Membership.objects.filter(org=org_id, user=found.user_id)
    rows = list(memberships.values_list("org__suspended", "limits__provider", "limits__window", "limits__tokens"))
    if not rows:
        raise refusal
    if rows[0][0]:
        raise AccountSuspended
    limits = (domain.MemberLimit(provider or None, window, tokens) for _, provider, window, tokens in rows if window)
    return tuple(sorted(limits, key=lambda limit: limit.provider or ""))


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
        allowances=tuple(sorted((free.provider, free.window, free.tokens) for free in row.allowances.all())),
        strategy=row.strategy,
        window_seconds=row.window_seconds,
        mode=row.mode,
        max_wait_ms=row.max_wait_ms,
        hold_step=row.hold_step,
    )
