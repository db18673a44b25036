"""Invitations: the secret is in the mail alone, works once, for one address, for a week."""

import re
from datetime import timedelta

import pytest
from django.core import mail
from django.db.models.functions import Now
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from apps.accounts.models import User
from apps.audit.models import Entry
from apps.orgs.api import join
from apps.orgs.models import Invitation, Membership, Organisation
from tests.integration.orgs.calls import Calls, as_user, person

pytestmark = pytest.mark.django_db

LINK = re.compile(r"(http\S+)/account/invitation\?token=(\S+)")


@pytest.fixture
def ada() -> User:
    return person("ada")


@pytest.fixture
def org(ada: User) -> Organisation:
    return Organisation.objects.get(pk=as_user(ada).post("orgs", name="Engines & Co", slug="engines")[1]["id"])


@pytest.fixture
def invite(
    org: Organisation, ada: User, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> "Invite":
    return Invite(as_user(ada), org, django_capture_on_commit_callbacks)


class Invite:
    """Invites an address, and reads the mail."""

    def __init__(self, calls: Calls, org: Organisation, committing: DjangoCaptureOnCommitCallbacks) -> None:
        self._calls, self._org, self._committing = calls, org, committing

    def __call__(self, email: str = "grace@example.test", **fields: str) -> str:
        with self._committing(execute=True):
            status, body = self._calls.post(f"orgs/{self._org.pk}/invitations", email=email, **fields)
        assert status == 201, body
        assert "token" not in str(body)
        assert "digest" not in str(body)
        found = LINK.search(str(mail.outbox[-1].body))
        assert found
        return found[2]


def _accept(user: User, secret: str) -> tuple[int, str]:
    status, body = as_user(user).post("invitations/accept", token=secret)
    return status, body.get("code", body.get("role"))


def test_an_invitation_is_accepted_once(org: Organisation, invite: Invite) -> None:
    secret = invite("Grace@Example.test", role="admin")
    assert (mail.outbox[0].to, "Engines & Co" in mail.outbox[0].body) == (["grace@example.test"], True)
    grace = person("grace")
    assert _accept(grace, secret) == (200, "admin")
    assert Membership.objects.get(user=grace).role == "admin"
    assert _accept(grace, secret) == (404, "not_found")
    actions = Entry.objects.filter(org_id=org.pk, action__startswith="invitation").order_by("id")
    assert list(actions.values_list("action", flat=True)) == ["invitation.created", "invitation.accepted"]
    dump = str(list(Invitation.objects.values())) + str(list(Entry.objects.values()))
    assert secret not in dump
    assert Invitation.objects.get(org=org).digest not in str(list(Entry.objects.values()))


def test_only_the_invited_and_verified_address_may_accept(invite: Invite) -> None:
    secret = invite()
    assert _accept(person("mallory"), secret) == (403, "invitation_for_another_address")
    grace = person("grace", verified=False)
    assert _accept(grace, secret) == (403, "invitation_for_another_address")
    assert _accept(person("grace"), secret) == (200, "member")


def test_inviting_again_replaces_the_earlier_offer(ada: User, org: Organisation, invite: Invite) -> None:
    first, second = invite(), invite(role="owner")
    listed = as_user(ada).get(f"orgs/{org.pk}/invitations")[1]["items"]
    assert [(item["email"], item["role"]) for item in listed] == [("grace@example.test", "owner")]
    grace = person("grace")
    assert _accept(grace, first) == (404, "not_found")
    assert _accept(grace, second) == (200, "owner")
    assert as_user(ada).get(f"orgs/{org.pk}/invitations")[1]["items"] == []


def test_a_week_later_it_is_too_late(ada: User, org: Organisation, invite: Invite) -> None:
    secret = invite()
    left = Invitation.objects.get(org=org).expires_at - Invitation.objects.get(org=org).created_at
    assert left == timedelta(days=7)
    Invitation.objects.update(expires_at=Now() - timedelta(milliseconds=1))
    assert _accept(person("grace"), secret) == (404, "not_found")
    assert invite() != secret, "an offer that has ended is replaced like an open one"


def test_an_invitation_is_taken_back(ada: User, org: Organisation, invite: Invite) -> None:
    secret, path = invite(), f"orgs/{org.pk}/invitations/{Invitation.objects.get(org=org).pk}"
    admin = person("root")
    join(org, admin.pk, "admin")
    assert as_user(admin).delete(path)[0] == 204
    assert as_user(admin).delete(path)[0] == 404
    assert _accept(person("grace"), secret) == (404, "not_found")


def test_admins_do_not_take_back_what_they_could_not_give(org: Organisation, invite: Invite) -> None:
    invite(role="admin")
    admin = person("root")
    join(org, admin.pk, "admin")
    status, body = as_user(admin).delete(f"orgs/{org.pk}/invitations/{Invitation.objects.get(org=org).pk}")
    assert (status, body["code"]) == (403, "missing_org_role")


def test_a_leavers_offers_end_with_them(
    ada: User, org: Organisation, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    leaver = person("leaver")
    join(org, leaver.pk, "admin")
    secret = Invite(as_user(leaver), org, django_capture_on_commit_callbacks)()
    assert as_user(ada).delete(f"orgs/{org.pk}/members/{leaver.pk}")[0] == 204
    assert _accept(person("grace"), secret) == (404, "not_found")


def test_members_are_not_invited_again(ada: User, org: Organisation) -> None:
    status, body = as_user(ada).post(f"orgs/{org.pk}/invitations", email="ADA@example.test")
    assert (status, body["code"]) == (409, "already_a_member")


def test_an_organisation_has_only_so_many_open_offers(
    ada: User, org: Organisation, invite: Invite, settings: Settings
) -> None:
    settings.INVITATIONS_PER_ORG = 1
    invite()
    status, body = as_user(ada).post(f"orgs/{org.pk}/invitations", email="another@example.test")
    assert (status, body["code"]) == (409, "too_many")
    assert invite(), "replacing one is no second one"


@pytest.mark.parametrize("fields", [{"email": "no address"}, {"email": "a@example.test", "role": "king"},
                                    {"email": "a@example.test", "org_id": "x"}, {}])  # fmt: skip
def test_bad_input(ada: User, org: Organisation, fields: dict[str, str]) -> None:
    assert as_user(ada).post(f"orgs/{org.pk}/invitations", **fields)[0] == 400
