"""What operators do with organisations and tiers in the console: through the services, so that it is audited."""

import re
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from apps.accounts.api import create_api_key, open_user
from apps.accounts.models import ApiKey, User
from apps.audit.models import Entry
from apps.config.api import CREDENTIALS, TIERS, versions
from apps.orgs import invitations
from apps.orgs.api import join, open_organisation, tiers
from apps.orgs.domain import OWNER, Standing
from apps.orgs.models import Invitation, MemberLimit, Membership, Organisation
from tests.integration.orgs.calls import person

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator(client: Client, settings: Settings) -> Client:
    settings.ROOT_URLCONF = "tests.integration.console.urls"
    client.force_login(open_user("operator", "operator@example.test", "a long enough password", operator=True))
    return client


@pytest.fixture
def ada() -> User:
    return person("ada")


@pytest.fixture
def org(ada: User) -> Organisation:
    org = open_organisation("engines", "Engines")
    join(org, ada.pk, OWNER)
    return org


def _post(client: Client, page: str, **fields: Any) -> str:
    response = client.post(f"/admin/{page}", fields, follow=True)
    assert response.status_code == 200
    text = response.content.decode()
    assert "errornote" not in text, re.findall(r"errorlist.*", text)
    return text


def _actions() -> list[str]:
    return list(Entry.objects.order_by("id").values_list("action", flat=True))


def test_members_of_the_organisations_page(operator: Client, ada: User, org: Organisation) -> None:
    grace, alan = person("grace"), person("alan")
    membership = Membership.objects.get(org=org)
    forms = {
        "name": "Engines", "slug": "engines", "memberships-TOTAL_FORMS": 2, "memberships-INITIAL_FORMS": 1,
        "memberships-0-id": membership.pk, "memberships-0-org": str(org.pk), "memberships-0-user": str(ada.pk),
        "memberships-0-role": "admin", "memberships-1-id": "", "memberships-1-org": str(org.pk),
        "memberships-1-user": str(grace.pk), "memberships-1-role": "owner",
    }  # fmt: skip
    before = len(_actions())
    _post(operator, f"orgs/organisation/{org.pk}/change/", **forms)
    assert {row.user.username: row.role for row in Membership.objects.filter(org=org)} == {
        "ada": "admin",
        "grace": "owner",
    }
    assert _actions()[before:] == ["membership.changed", "membership.created"]
    create_api_key(ada, "server", org_id=org.pk)
    forms |= {"memberships-TOTAL_FORMS": 1, "memberships-0-user": str(alan.pk)}
    _post(operator, f"orgs/organisation/{org.pk}/change/", **forms)
    assert {row.user.username: row.role for row in Membership.objects.filter(org=org)} == {
        "alan": "admin",
        "grace": "owner",
    }
    assert not ApiKey.objects.filter(org_id=org.pk, revoked_at=None).exists(), (
        "a row that becomes somebody else's ends the former's"
    )


def test_a_membership_ended_on_its_own_page_takes_the_keys_along(
    operator: Client, ada: User, org: Organisation
) -> None:
    key, _ = create_api_key(ada, "server", org_id=org.pk)
    membership = Membership.objects.get(org=org)
    before = versions().get(CREDENTIALS, 0)
    page = operator.get(f"/admin/orgs/membership/{membership.pk}/change/").content.decode()
    assert 'name="user"' not in page, "a membership stays its member's"
    limits = {"limits-TOTAL_FORMS": 0, "limits-INITIAL_FORMS": 0}
    _post(operator, f"orgs/membership/{membership.pk}/change/", role="member", **limits)
    assert Membership.objects.get(org=org).role == "member"
    _post(operator, f"orgs/membership/{membership.pk}/delete/", post="yes")
    key.refresh_from_db()
    assert key.revoked_at is not None
    assert versions().get(CREDENTIALS, 0) > before
    _post(operator, "orgs/membership/add/", user=str(ada.pk), org=str(org.pk), role="admin", **limits)
    assert Membership.objects.get(org=org).role == "admin"
    assert _actions()[-4:] == ["membership.changed", "api_key.revoked", "membership.removed", "membership.created"]


def test_a_members_limits_on_the_memberships_page(operator: Client, ada: User, org: Organisation) -> None:
    membership = Membership.objects.get(org=org)
    page, seen = f"orgs/membership/{membership.pk}/change/", versions().get(CREDENTIALS, 0)
    forms = {
        "role": "owner", "limits-TOTAL_FORMS": 1, "limits-INITIAL_FORMS": 0, "limits-0-id": "",
        "limits-0-membership": membership.pk, "limits-0-provider": "", "limits-0-window": "week",
        "limits-0-tokens": 7000,
    }  # fmt: skip
    shown = _post(operator, page, **forms)
    assert "7,000 tokens a week" in shown
    assert versions()[CREDENTIALS] > seen
    limit = MemberLimit.objects.get(membership=membership)
    kept = {"limits-INITIAL_FORMS": 1, "limits-0-id": limit.pk}
    _post(operator, page, **forms | kept | {"limits-0-tokens": 8000})
    _post(operator, page, **forms | kept | {"limits-0-DELETE": "on"})
    assert not MemberLimit.objects.exists()
    assert _actions()[-3:] == ["member_limit.created", "member_limit.changed", "member_limit.removed"]


def test_invitations_are_revoked_never_made_or_edited(operator: Client, ada: User, org: Organisation) -> None:
    invitation = invitations.invite(Standing(org.pk, ada.pk, OWNER), "grace@example.test", "member")
    page = f"/admin/orgs/invitation/{invitation.pk}/"
    assert operator.get("/admin/orgs/invitation/add/").status_code == 403
    assert operator.post(f"{page}delete/", {"post": "yes"}).status_code == 403
    for state, count in (("open", 1), ("accepted", 0), ("revoked", 0), ("expired", 0)):
        response = operator.get(f"/admin/orgs/invitation/?state={state}&q=grace@example.test")
        assert response.context["cl"].result_count == count, state
    shown = operator.get(f"{page}change/").content.decode()
    assert Invitation.objects.get(org=org).digest not in shown
    fields = {"action": "revoke", "_selected_action": [str(invitation.pk)]}
    assert "Yes, do it" in _post(operator, "orgs/invitation/", **fields)
    assert Invitation.objects.get(org=org).revoked_at is None
    _post(operator, "orgs/invitation/", **fields, confirmed="yes")
    assert Invitation.objects.get(org=org).revoked_at is not None
    assert _actions()[-1] == "invitation.revoked"


def test_a_tier_that_lets_calls_wait_has_a_leaky_bucket(operator: Client) -> None:
    fields = {
        "priority": 10, "bucket_capacity": 1000, "capacity_multiplier": 1000, "leak_rate": 1000,
        "leak_multiplier": 1000, "default_max_output": 4096, "window_seconds": 60, "max_wait_ms": 10_000,
        "allowances-TOTAL_FORMS": 0, "allowances-INITIAL_FORMS": 0,
    }  # fmt: skip
    shaped = fields | {"mode": "shape", "strategy": "FIXED_WINDOW"}
    refused = operator.post("/admin/orgs/tier/USER/change/", shaped).content.decode()
    assert "Only a leaky bucket can let calls wait" in refused
    assert tiers()["USER"].mode == "police"
    _post(operator, "orgs/tier/USER/change/", **shaped | {"strategy": "LEAKY_BUCKET"})
    assert tiers()["USER"].mode == "shape"


def test_a_tier_with_its_allowances(operator: Client) -> None:
    before = versions()
    _post(
        operator, "orgs/tier/add/", name="GOLD", priority=500, bucket_capacity=1000, capacity_multiplier=2000,
        leak_rate=1000, leak_multiplier=1000, default_max_output=4096, requests_per_minute=60, concurrency=5,
        quota_cap=7, strategy="LEAKY_BUCKET", window_seconds=60, mode="shape", max_wait_ms=2500, **{
            "allowances-TOTAL_FORMS": 1, "allowances-INITIAL_FORMS": 0, "allowances-0-provider": "openai",
            "allowances-0-window": "week", "allowances-0-tokens": 9,
        },
    )  # fmt: skip
    gold = tiers()["GOLD"]
    assert (gold.bucket_capacity, gold.quota_cap, gold.allowances) == (2000, 7, (("openai", "week", 9),))
    assert (gold.requests_per_minute, gold.concurrency) == (60, 5)
    assert (gold.mode, gold.max_wait_ms) == ("shape", 2500)
    assert versions()[TIERS] > before.get(TIERS, 0)
    assert _actions()[-2:] == ["tier.created", "tier.allowances_changed"]
