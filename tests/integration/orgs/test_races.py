"""What real transactions do to each other: the last owner, one secret used twice, a mail server that is away."""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier
from uuid import uuid4

import pytest
from django.core import mail
from django.db import connection
from pytest_django import Settings

from apps.accounts.models import User
from apps.core.errors import Refused
from apps.orgs import invitations, memberships, services
from apps.orgs.domain import OWNER, LastOwner, Standing
from apps.orgs.models import Invitation, Membership, Organisation
from tests.integration.orgs.calls import person

pytestmark = pytest.mark.usefixtures("committed")
ROUNDS = 10


def _somebody() -> User:
    return person(f"u{uuid4().hex[:12]}")


def _new(owner: User) -> Organisation:
    return services.create(owner, "Engines", f"e{uuid4().hex[:12]}")


def _together(*steps: Callable[[], object]) -> list[type[Exception] | None]:
    """Run all at once, each on a connection of its own; the refusal of each, if any."""
    barrier = Barrier(len(steps))

    def run(step: Callable[[], object]) -> type[Exception] | None:
        try:
            connection.ensure_connection()
            barrier.wait(timeout=10)
            step()
        except Refused as refusal:
            return type(refusal)
        finally:
            connection.close()
        return None

    with ThreadPoolExecutor(len(steps)) as pool:
        return list(pool.map(run, steps))


@pytest.mark.parametrize("_round", range(ROUNDS))
def test_two_owners_who_leave_at_once_leave_one(_round: int) -> None:
    ada, grace = _somebody(), _somebody()
    org = _new(ada)
    memberships.join(org, grace.pk, OWNER)
    outcomes = _together(*(partial(memberships.leave, org.pk, user.pk) for user in (ada, grace)))
    assert sorted(map(str, outcomes)) == sorted(map(str, [None, LastOwner]))
    assert Membership.objects.filter(org=org, role=OWNER).count() == 1


@pytest.mark.parametrize("_round", range(ROUNDS))
def test_two_owners_who_demote_each_other_leave_one(_round: int) -> None:
    ada, grace = _somebody(), _somebody()
    org = _new(ada)
    memberships.join(org, grace.pk, OWNER)
    outcomes = _together(
        partial(memberships.change_role, Standing(org.pk, ada.pk, OWNER), grace.pk, "member"),
        partial(memberships.change_role, Standing(org.pk, grace.pk, OWNER), ada.pk, "member"),
    )
    assert outcomes.count(None) == 1
    assert Membership.objects.filter(org=org, role=OWNER).count() == 1


def test_one_secret_makes_one_member(settings: Settings) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    ada, grace = _somebody(), _somebody()
    org = _new(ada)
    mail.outbox = []
    invitations.invite(Standing(org.pk, ada.pk, OWNER), grace.email, "member")
    secret = str(mail.outbox[0].body).split("token=")[1].split()[0]
    outcomes = _together(*[partial(memberships.accept_invitation, secret, grace.pk)] * 4)
    assert outcomes.count(None) == 1
    assert Membership.objects.filter(org=org, user=grace).count() == 1


def test_one_slug_makes_one_organisation() -> None:
    slug, users = f"e{uuid4().hex[:12]}", [_somebody() for _ in range(4)]
    outcomes = _together(*(partial(services.create, user, "Engines", slug) for user in users))
    assert outcomes.count(None) == 1
    assert Membership.objects.filter(org__slug=slug).count() == 1


def test_a_mail_server_that_is_away_is_logged_and_the_invitation_stays(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    ada = _somebody()
    org = _new(ada)
    with caplog.at_level(logging.ERROR):
        invitations.invite(Standing(org.pk, ada.pk, OWNER), "grace@example.test", "member")
    assert Invitation.objects.filter(org=org, email="grace@example.test").exists()
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "token=" not in caplog.text
