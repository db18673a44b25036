"""What members may cost their organisation. Gateways follow a change within a second."""

from collections.abc import Iterable
from uuid import UUID

from django.db import transaction

from apps.audit.api import State, Subject, record, state_of, stored_state
from apps.config.api import CREDENTIALS, touch
from apps.core.errors import NotFound
from apps.orgs.domain import Standing
from apps.orgs.models import MemberLimit, Membership
from apps.orgs.services import lock


@transaction.atomic
def set_limit(by: Standing, user_id: UUID, provider: str | None, window: str, tokens: int) -> MemberLimit:
    """Limit a member's calls with a provider (None: with all of them together), in place of the limit that is there.

    Raises:
        NotFound: the user is no member.
        RoleMissing: a member of this role is not ``by``'s to limit.
    """
    membership = _handled(by, user_id)
    limit = MemberLimit.objects.filter(membership=membership, provider=provider or "").first()
    limit = limit or MemberLimit(membership=membership, provider=provider or "")
    limit.window, limit.tokens = window, tokens
    save(limit)
    return limit


@transaction.atomic
def lift(by: Standing, user_id: UUID, provider: str | None = None) -> None:
    """Take away a member's limit with ``provider`` (empty: with all together), or all limits (None), if there are any.

    Raises:
        NotFound: the user is no member.
        RoleMissing: a member of this role is not ``by``'s to limit.
    """
    limits = MemberLimit.objects.filter(membership=_handled(by, user_id))
    delete(limits if provider is None else limits.filter(provider=provider))


@transaction.atomic
def save(limit: MemberLimit) -> None:
    """Write a limit as it is wanted. One that stays as it was is not recorded."""
    before = stored_state(limit, *_TOLD)
    limit.save()
    after = state_of(limit, *_TOLD)
    if before != after:
        _follow("changed" if before else "created", limit, before, after)


@transaction.atomic
def delete(limits: Iterable[MemberLimit]) -> None:
    """Take limits away."""
    for limit in limits:
        _follow("removed", limit, state_of(limit, *_TOLD), None)
        limit.delete()


_TOLD = ("provider", "window", "tokens")


def _handled(by: Standing, user_id: UUID) -> Membership:
    """The membership, locked with its organisation's others, once ``by`` may handle members of its role."""
    by.insist_on_managing()
    lock(by.org_id)
    membership = Membership.objects.filter(org=by.org_id, user=user_id).first()
    if membership is None:
        raise NotFound
    by.insist_on_handling(membership.role)
    return membership


def _follow(what: str, limit: MemberLimit, before: State | None, after: State | None) -> None:
    membership = limit.membership
    subject = Subject("member_limit", str(membership.user_id), membership.org_id)
    record(f"member_limit.{what}", subject, before, after)
    touch(CREDENTIALS, f"user:{membership.user_id}")
