"""Offers of membership by e-mail. The secret is in the mail alone; the database has its SHA-256."""

import hashlib
import secrets
from datetime import timedelta
from urllib.parse import urlencode
from uuid import UUID

from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.template.loader import render_to_string

from apps.accounts.api import User
from apps.audit.api import State, Subject, record, state_of
from apps.core import tenancy
from apps.core.errors import NotFound
from apps.orgs.domain import AlreadyAMember, InvitationForAnotherAddress, Standing, TooMany
from apps.orgs.models import Invitation, Membership
from apps.orgs.selectors import open_invitations
from apps.orgs.services import lock

LIFETIME = timedelta(days=7)
PAGE = "/account/invitation"
"""Where the link in the mail leads: the page that asks before it accepts."""

_SECRET_BYTES = 32


@transaction.atomic
def invite(by: Standing, email: str, role: str) -> Invitation:
    """Offer membership to whoever owns an address, and send the mail once this is committed. Replaces an earlier offer.

    Raises:
        RoleMissing: the role is not ``by``'s to give.
        AlreadyAMember: the address is a member's.
        TooMany: the organisation has as many open offers as the operators allow.
    """
    by.insist_on_handling(role)
    org, email = lock(by.org_id), email.lower()
    if Membership.objects.filter(org=org, user__email__iexact=email).exists():
        raise AlreadyAMember("This address belongs to a member.")
    revoke_all(Invitation.objects.filter(org=org, email=email))
    if open_invitations().filter(org=org).count() >= settings.INVITATIONS_PER_ORG:
        raise TooMany(f"An organisation may have {settings.INVITATIONS_PER_ORG} open invitations.")
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    invitation = Invitation.objects.create(
        org=org, email=email, role=role, digest=_digest(secret), invited_by_id=by.user_id, expires_at=Now() + LIFETIME
    )
    invitation.refresh_from_db()  # The database alone knows when its Now() is.
    record("invitation.created", _subject(invitation), None, _state(invitation))
    # Robust: a mail server that is away is logged, and the invitation stays; inviting again sends another. Not a
    # partial, because what logs it asks for a function's name.
    transaction.on_commit(lambda: _send(invitation, secret), robust=True)
    return invitation


@transaction.atomic
def revoke(by: Standing, invitation_id: UUID) -> None:
    """Take an open offer back.

    Raises:
        RoleMissing: its role is not ``by``'s to give or take.
        NotFound: the organisation has no such open invitation.
    """
    by.insist_on_managing()
    lock(by.org_id)
    invitation = open_invitations().filter(org=by.org_id, pk=invitation_id).first()
    if invitation is None:
        raise NotFound
    by.insist_on_handling(invitation.role)
    revoke_all(Invitation.objects.filter(pk=invitation.pk))


@transaction.atomic
def revoke_all(rows: QuerySet[Invitation]) -> int:
    """Take these offers back as far as they were not used, whoever sent them; returns how many."""
    taken_back = list(rows.select_for_update().filter(accepted_at=None, revoked_at=None).order_by("pk"))
    for invitation in taken_back:
        before = _state(invitation)
        invitation.revoked_at = Now()
        invitation.save(update_fields=["revoked_at"])
        invitation.refresh_from_db(fields=["revoked_at"])
        record("invitation.revoked", _subject(invitation), before, _state(invitation))
    return len(taken_back)


def offered(secret: str) -> Invitation:
    """The offer with this secret and its organisation, for whoever holds the mail; nothing is used up.

    Raises:
        NotFound: the secret is none of ours, or the offer has ended, been used or taken back.
    """
    with tenancy.everyone():
        invitation = open_invitations().select_related("org").filter(digest=_digest(secret)).first()
    if invitation is None:
        raise NotFound
    return invitation


def use_up(secret: str, user_id: UUID) -> Invitation:
    """Accept an offer, in the transaction that makes the user a member.

    Raises:
        NotFound: the secret is none of ours, or the offer has ended, been used or taken back.
        InvitationForAnotherAddress: the user has not verified the invited address as theirs.
    """
    invitation = open_invitations().select_for_update().filter(digest=_digest(secret)).first()
    if invitation is None:
        raise NotFound
    if not _owns(user_id, invitation.email):
        raise InvitationForAnotherAddress("Sign in with the invited address, and verify it first.")
    before = _state(invitation)
    invitation.accepted_at = Now()
    invitation.save(update_fields=["accepted_at"])
    invitation.refresh_from_db(fields=["accepted_at"])
    record("invitation.accepted", _subject(invitation), before, _state(invitation))
    return invitation


def _owns(user_id: UUID, email: str) -> bool:
    users = User.objects.filter(pk=user_id, email__iexact=email, is_active=True)
    return users.exclude(email_verified_at=None).exists()


def _send(invitation: Invitation, secret: str) -> None:
    link = f"{settings.PUBLIC_URL}{PAGE}?{urlencode({'token': secret})}"
    context = {"organisation": invitation.org.name, "role": invitation.role, "link": link, "days": LIFETIME.days}
    text = render_to_string("email/invitation.txt", context)
    send_mail(f"Invitation to {invitation.org.name}", text, None, [invitation.email])


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _subject(invitation: Invitation) -> Subject:
    return Subject("invitation", str(invitation.pk), invitation.org_id)


def _state(invitation: Invitation) -> State:
    return state_of(invitation, "org", "email", "role", "expires_at", "accepted_at", "revoked_at")
