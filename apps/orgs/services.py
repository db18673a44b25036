"""Writes of organisations themselves. Each leaves an entry in the audit trail, and gateways follow."""

from collections.abc import Collection
from uuid import UUID

from django.conf import settings
from django.db import transaction

from apps.accounts.api import User
from apps.audit.api import State, Subject, record, state_of
from apps.config.api import CREDENTIALS, touch
from apps.core import tenancy
from apps.core.errors import NotFound
from apps.orgs.domain import OWNER, OrganisationExists, SlugTaken, Standing, TooMany
from apps.orgs.models import Membership, Organisation


def lock(org_id: UUID) -> Organisation:
    """The organisation, until the transaction ends for whoever locks it first: its members change one at a time.

    Rows that refer to it can still be written meanwhile (``FOR NO KEY UPDATE``), or accepting an invitation would wait.

    Raises:
        NotFound: there is none, or the caller no longer sees it.
    """
    org = Organisation.objects.select_for_update(no_key=True).filter(pk=org_id).first()
    if org is None:
        raise NotFound
    return org


def create(owner: User, name: str, slug: str) -> Organisation:
    """A new organisation with its first owner.

    Raises:
        OrganisationExists: the user owns one with this slug; so does a retry.
        SlugTaken: somebody else does.
        TooMany: the user owns as many as the operators allow.
    """
    with tenancy.everyone(), transaction.atomic():
        User.objects.select_for_update(no_key=True).get(pk=owner.pk)
        org, is_new = Organisation.objects.get_or_create(slug=slug, defaults={"name": name})
        owned = Membership.objects.filter(user_id=owner.pk, role=OWNER)
        if not is_new and owned.filter(org=org).exists():
            raise OrganisationExists(f"You own this organisation already: {org.pk}")
        if not is_new:
            raise SlugTaken("This short name is taken.")
        if owned.count() >= settings.ORGS_PER_USER:
            raise TooMany(f"A user may own {settings.ORGS_PER_USER} organisations.")
        record("organisation.created", _subject(org), None, _state(org))
        membership = Membership.objects.create(org=org, user_id=owner.pk, role=OWNER)
        record("membership.created", membership_subject(membership), None, membership_state(membership))
        touch(CREDENTIALS, f"user:{owner.pk}")
    return org


@transaction.atomic
def rename(by: Standing, name: str) -> Organisation:
    """Give it another name; the slug stays.

    Raises:
        RoleMissing: ``by`` is a plain member.
    """
    by.insist_on_managing()
    org = lock(by.org_id)
    before = _state(org)
    org.name = name
    org.save(update_fields=["name"])
    record("organisation.changed", _subject(org), before, _state(org))
    return org


@transaction.atomic
def save(org: Organisation) -> None:
    """Write an operator's change, or a new organisation."""
    present = Organisation.objects.select_for_update(no_key=True).filter(pk=org.pk).first()
    before = _state(present) if present else None
    org.save()
    record("organisation.changed" if present else "organisation.created", _subject(org), before, _state(org))
    touch(CREDENTIALS, f"org:{org.pk}")


@transaction.atomic
def delete(org: Organisation) -> None:
    """Delete an organisation without members.

    Raises:
        ProtectedError: it has members.
    """
    subject, before = _subject(org), _state(org)
    org.delete()
    record("organisation.deleted", subject, before, None)
    touch(CREDENTIALS, f"org:{subject.id}")


@transaction.atomic
def suspend(org_ids: Collection[UUID], *, suspended: bool) -> int:
    """Refuse, or accept again, the calls that these organisations would pay; returns how many changed."""
    chosen = Organisation.objects.select_for_update(no_key=True).filter(pk__in=org_ids).exclude(suspended=suspended)
    changed = list(chosen.order_by("pk"))
    for org in changed:
        before = _state(org)
        org.suspended = suspended
        org.save(update_fields=["suspended"])
        record(f"organisation.{'suspended' if suspended else 'reopened'}", _subject(org), before, _state(org))
    if changed:
        touch(CREDENTIALS, *(f"org:{org.pk}" for org in changed))
    return len(changed)


def open_organisation(slug: str, name: str) -> Organisation:
    """The organisation with this slug, made if missing. For commands: it has no owner yet."""
    org = Organisation.objects.filter(slug=slug).first()
    if org is None:
        org = Organisation(slug=slug, name=name)
        save(org)
    return org


def membership_subject(membership: Membership) -> Subject:
    """Whom an audit entry of a membership is about: the member."""
    return Subject("membership", str(membership.user_id), membership.org_id)


def membership_state(membership: Membership) -> State:
    """What an audit entry tells of a membership."""
    return state_of(membership, "org", "user", "role")


def _subject(org: Organisation) -> Subject:
    return Subject("organisation", str(org.pk), org.pk)


def _state(org: Organisation) -> State:
    return state_of(org, "name", "slug", "suspended")
