"""Who belongs to an organisation. Whoever leaves it leaves behind no key that it would pay for."""

from uuid import UUID

from django.db import transaction

from apps.accounts.api import revoke_keys_of
from apps.audit.api import record
from apps.config.api import CREDENTIALS, touch
from apps.core import tenancy
from apps.core.errors import NotFound
from apps.orgs.domain import MEMBER, OWNER, LastOwner, Standing
from apps.orgs.invitations import revoke_all, use_up
from apps.orgs.models import Invitation, Membership, Organisation
from apps.orgs.services import lock, membership_state, membership_subject


@transaction.atomic
def add(org_id: UUID, user_id: UUID, role: str) -> Membership:
    """A new member, in the transaction of whatever decided so. One who is a member already stays what they are."""
    membership, is_new = Membership.objects.get_or_create(org_id=org_id, user_id=user_id, defaults={"role": role})
    if is_new:
        record("membership.created", membership_subject(membership), None, membership_state(membership))
        touch(CREDENTIALS, f"user:{user_id}")
    return membership


def accept_invitation(secret: str, user_id: UUID) -> UUID:
    """Use an offer of membership up; returns the id of the organisation that the user is now a member of.

    Raises:
        NotFound: the secret is none of ours, or the offer has ended, been used or taken back.
        InvitationForAnotherAddress: the user has not verified the invited address as theirs.
    """
    with tenancy.everyone(), transaction.atomic():
        invitation = use_up(secret, user_id)
        add(invitation.org_id, user_id, invitation.role)
    return invitation.org_id


@transaction.atomic
def join(org: Organisation, user_id: UUID, role: str = MEMBER) -> None:
    """Make a user a member in this role, or change it. For operators and commands: nothing is asked."""
    lock(org.pk)
    membership = add(org.pk, user_id, role)
    if membership.role != role:
        _give(membership, role)


@transaction.atomic
def change_role(by: Standing, user_id: UUID, role: str) -> None:
    """Change a member's role.

    Raises:
        NotFound: the user is no member.
        RoleMissing: the present or the wanted role is not ``by``'s to take or give.
        LastOwner: nobody else owns the organisation.
    """
    membership = _locked(by.org_id, user_id)
    by.insist_on_handling(membership.role, role)
    if membership.role == role:
        return
    _insist_on_another_owner(membership)
    _give(membership, role)


@transaction.atomic
def remove(by: Standing, user_id: UUID) -> None:
    """End somebody's membership.

    Raises:
        NotFound: the user is no member.
        RoleMissing: a member of this role is not ``by``'s to remove.
        LastOwner: nobody else owns the organisation.
    """
    membership = _locked(by.org_id, user_id)
    by.insist_on_handling(membership.role)
    _insist_on_another_owner(membership)
    end(membership)


@transaction.atomic
def leave(org_id: UUID, user_id: UUID) -> None:
    """End one's own membership; every member may, but for the last owner.

    Raises:
        NotFound: the user is no member.
        LastOwner: nobody else owns the organisation.
    """
    membership = _locked(org_id, user_id)
    _insist_on_another_owner(membership)
    end(membership)


@transaction.atomic
def end(membership: Membership) -> None:
    """End a membership, the member's keys that the organisation pays for, and the invitations that they sent.

    Operators may end the last owner's, too, to appoint another.
    """
    subject, before = membership_subject(membership), membership_state(membership)
    # The membership last: without it, a leaver no longer sees the other rows.
    revoke_all(Invitation.objects.filter(org=membership.org_id, invited_by=membership.user_id))
    revoke_keys_of(membership.user_id, membership.org_id)
    record("membership.removed", subject, before, None)
    membership.delete()
    touch(CREDENTIALS, f"user:{membership.user_id}")


def _locked(org_id: UUID, user_id: UUID) -> Membership:
    lock(org_id)
    membership = Membership.objects.filter(org=org_id, user=user_id).first()
    if membership is None:
        raise NotFound
    return membership


def _give(membership: Membership, role: str) -> None:
    before = membership_state(membership)
    membership.role = role
    membership.save(update_fields=["role"])
    record("membership.changed", membership_subject(membership), before, membership_state(membership))
    touch(CREDENTIALS, f"user:{membership.user_id}")


def _insist_on_another_owner(membership: Membership) -> None:
    """Sound because the organisation is locked."""
    others = Membership.objects.filter(org=membership.org_id, role=OWNER).exclude(pk=membership.pk)
    if membership.role == OWNER and not others.exists():
        raise LastOwner("An organisation keeps at least one owner; make somebody else an owner first.")
