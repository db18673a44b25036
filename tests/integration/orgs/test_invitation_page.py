"""The page to which an invitation's mail leads: it joins nobody who has not pressed its button."""

import re

import pytest
from django.core import mail
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from apps.accounts.api import open_user
from apps.accounts.models import User
from apps.orgs.api import open_organisation
from apps.orgs.domain import Standing
from apps.orgs.invitations import invite
from apps.orgs.models import Membership, Organisation

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def pages(settings: Settings) -> None:
    """Of the service ``auth`` the pages."""
    settings.ROOT_URLCONF = "tests.integration.orgs.page_urls"


@pytest.fixture
def guest() -> User:
    user = open_user("guest", "guest@example.test", "a long enough password")
    User.objects.filter(pk=user.pk).update(email_verified_at=timezone.now())
    return user


@pytest.fixture
def org() -> Organisation:
    return open_organisation("Acme", "acme")


@pytest.fixture
def link(org: Organisation, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks) -> str:
    """Where the mail leads."""
    owner = open_user("owner", "owner@example.test", "a long enough password")
    with django_capture_on_commit_callbacks(execute=True):
        invite(Standing(org.pk, owner.pk, Membership.Role.OWNER), "guest@example.test", Membership.Role.MEMBER)
    found = re.search(r"http\S+(/account/invitation\?token=\S+)", str(mail.outbox[-1].body))
    assert found
    return found.group(1)


def test_pressing_the_button_joins_once(client: Client, guest: User, org: Organisation, link: str) -> None:
    assert client.get(link)["Location"].startswith("/account/sign-in?next=/account/invitation")
    client.force_login(guest)

    shown = client.get(link).content.decode()
    assert "Accept the invitation" in shown
    assert f"you join <strong>{org.name}</strong> as member" in shown
    assert not Membership.objects.filter(user=guest).exists()
    joined, again = client.post(link), client.post(link)

    assert (joined.status_code, again.status_code) == (200, 404)
    assert Membership.objects.get(user=guest).org == org


def test_a_link_that_no_longer_works_says_so_at_once(client: Client, guest: User, link: str) -> None:
    client.force_login(guest)
    client.post(link)

    for gone in (link, "/account/invitation?token=made-up", "/account/invitation"):
        page = client.get(gone)
        assert page.status_code == 404
        assert "too old, was used or taken back" in page.content.decode()


def test_somebody_else_cannot_use_it(client: Client, link: str) -> None:
    client.force_login(open_user("other", "other@example.test", "a long enough password"))

    refused = client.post(link)

    assert refused.status_code == 403
    assert "Sign in with the invited address" in refused.content.decode()
