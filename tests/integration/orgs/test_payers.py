"""Who pays for a call, with which limits, and until when: every kind of credential and every way to name a payer."""

import hashlib
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from oauth2_provider.models import AccessToken
from pytest_django import DjangoAssertNumQueries

from apps.accounts.api import AccessClaims, create_api_key
from apps.accounts.models import Application, Role, Session, User
from apps.config.api import CREDENTIALS, TIERS, versions
from apps.core.errors import AccountSuspended, InvalidCredential, NotAMember
from apps.core.http.caller import ALL_SCOPES, JWT, OAUTH2
from apps.orgs import memberships, services, tiers
from apps.orgs.api import assign_tier, join, open_organisation, principal_of, tier_of
from apps.orgs.api import tiers as all_tiers
from apps.orgs.models import Allowance, Organisation, Tier
from tests.integration.orgs.calls import person

pytestmark = pytest.mark.django_db

AT_NOON = datetime(2100, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def ada() -> User:
    return person("ada")


@pytest.fixture
def org(ada: User) -> Organisation:
    org = open_organisation("engines", "Analytical Engines")
    join(org, ada.pk)
    return org


@pytest.fixture
def other() -> Organisation:
    return open_organisation("other", "Others")


def _first_party(user: User) -> AccessClaims:
    session = Session.objects.create(user=user, kind=Session.Kind.API, expires_at=AT_NOON)
    return AccessClaims(
        kind=JWT, subject=user.pk, token_version=0, expires_at=AT_NOON, scopes=ALL_SCOPES, checksum="", jti="j",
        session_id=str(session.pk),
    )  # fmt: skip


def _client_token(client: Application, subject: UUID) -> AccessClaims:
    text = uuid4().hex
    AccessToken.objects.create(application=client, user_id=subject, token=text, expires=AT_NOON, scope="inference")
    return AccessClaims(
        kind=OAUTH2, subject=subject, token_version=0, expires_at=AT_NOON, scopes=frozenset({"inference"}),
        checksum=hashlib.sha256(text.encode()).hexdigest(), jti="j", client_id=client.client_id,
    )  # fmt: skip


def test_an_unbound_key_lets_whom_it_names_pay(ada: User, org: Organisation, other: Organisation) -> None:
    _, text = create_api_key(ada, "laptop")
    assert principal_of(text).payer_id == ada.pk
    chosen = principal_of(text, org.pk)
    assert (chosen.payer_kind, chosen.payer_id, chosen.org_id, chosen.bound_org_id) == ("org", org.pk, org.pk, None)
    for foreign in (other.pk, uuid4(), ada.pk):
        with pytest.raises(NotAMember):
            principal_of(text, foreign)


def test_a_bound_key_lets_its_own_pay_and_no_other(ada: User, org: Organisation, other: Organisation) -> None:
    join(other, ada.pk)
    _, text = create_api_key(ada, "server", org_id=org.pk)
    for named in (None, org.pk):
        assert principal_of(text, named).payer_id == principal_of(text, named).bound_org_id == org.pk
    with pytest.raises(NotAMember):
        principal_of(text, other.pk)


def test_a_key_bound_to_a_strangers_organisation_is_worth_nothing(ada: User, other: Organisation) -> None:
    _, text = create_api_key(ada, "stolen", org_id=other.pk)
    for named in (None, other.pk):
        with pytest.raises(InvalidCredential):
            principal_of(text, named)


def test_a_suspended_organisation_pays_for_nobody(ada: User, org: Organisation) -> None:
    _, bound = create_api_key(ada, "server", org_id=org.pk)
    _, unbound = create_api_key(ada, "laptop")
    services.suspend([org.pk], suspended=True)
    for text, named in ((bound, None), (unbound, org.pk)):
        with pytest.raises(AccountSuspended):
            principal_of(text, named)
    assert principal_of(unbound).payer_id == ada.pk


def test_a_first_party_token_pays_like_an_unbound_key(
    ada: User, org: Organisation, other: Organisation, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    claims = _first_party(ada)
    assert (principal_of(claims).payer_id, principal_of(claims).expires_at) == (ada.pk, AT_NOON)
    with django_assert_num_queries(5):
        assert principal_of(claims, org.pk).payer_id == org.pk
    with pytest.raises(NotAMember):
        principal_of(claims, other.pk)


def test_a_clients_organisation_pays_for_its_own_tokens_only(
    ada: User, org: Organisation, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    robot = person("robot")
    join(org, robot.pk)
    client = Application.objects.create(
        name="report", client_id="report", user=robot, org_id=org.pk, client_type="confidential",
        authorization_grant_type="client-credentials",
    )  # fmt: skip
    claims = _client_token(client, robot.pk)
    with django_assert_num_queries(5):
        own = principal_of(claims)
    assert (own.payer_id, own.bound_org_id, own.client_id, own.kind) == (org.pk, org.pk, "report", OAUTH2)
    consented = principal_of(_client_token(client, ada.pk))
    assert (consented.payer_id, consented.bound_org_id) == (ada.pk, None), "who consents pays, not the client"
    memberships.leave(org.pk, robot.pk)
    with pytest.raises(InvalidCredential):
        principal_of(claims)


def test_a_principal_ends_with_its_payers_tier(ada: User, org: Organisation) -> None:
    soon = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    _, endless = create_api_key(ada, "laptop")
    _, ending = create_api_key(ada, "laptop", expires_at=soon - timedelta(minutes=1))
    assert principal_of(endless).expires_at is None
    assign_tier("user", ada.pk, "ADMIN", ends_at=soon)
    assert (principal_of(endless).tier, principal_of(endless).expires_at) == ("ADMIN", soon)
    assert principal_of(ending).expires_at == soon - timedelta(minutes=1)
    assert principal_of(endless, org.pk).expires_at is None, "it is not the organisation's tier that ends"
    assign_tier("user", ada.pk, "ADMIN")
    assert principal_of(endless).expires_at is None


def _tier(name: str, priority: int, **limits: int) -> Tier:
    tier = Tier(name=name, bucket_capacity=1000, leak_rate=1000, priority=priority, **limits)
    tiers.save_tier(tier)
    return tier


def test_roles_give_the_tier_that_is_named_like_them(ada: User, org: Organisation) -> None:
    _tier("GOLD", 500)
    _tier("BRONZE", 5)
    assert tier_of("user", ada.pk, ["NOBODY"]) == "USER", "no role is named like a tier: the default"
    assert tier_of("user", ada.pk, ["BRONZE"]) == "BRONZE", "a role's tier counts, also below the default"
    assert tier_of("user", ada.pk, ["BRONZE", "USER", "GOLD"]) == "GOLD", "the highest priority"
    assert tier_of("org", org.pk, ["GOLD"]) == "USER", "an organisation has no roles"
    assign_tier("user", ada.pk, "BRONZE")
    assert tier_of("user", ada.pk, ["GOLD"]) == "BRONZE", "what is assigned comes before roles"


def test_a_tier_that_is_named_like_a_role_is_given_at_once(ada: User) -> None:
    """Principals are remembered by the gateways with their tier's name: a new name must make them forget."""
    ada.roles.add(Role.objects.create(name="GOLD"))
    _, text = create_api_key(ada, "laptop")
    before = versions()
    assert principal_of(text).tier == "USER"
    gold = _tier("GOLD", 500)
    assert principal_of(text).tier == "GOLD"
    after = versions()
    assert (after[CREDENTIALS], after[TIERS]) == (before.get(CREDENTIALS, 0) + 1, before.get(TIERS, 0) + 1)
    tiers.delete_tier(gold)
    assert principal_of(text).tier == "USER"
    assert versions().get(CREDENTIALS, 0) == after[CREDENTIALS] + 1


def test_limits_of_a_tier(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    gold = _tier(
        "GOLD", 500, capacity_multiplier=1500, leak_multiplier=2000, quota_cap=7, requests_per_minute=8, concurrency=9
    )
    rows = [Allowance(tier=gold, provider="openai", window="month", tokens=5),
            Allowance(tier=gold, provider="gemini", window="day", tokens=3)]  # fmt: skip
    tiers.save_allowances(gold, rows, [])
    with django_assert_num_queries(2):
        value = all_tiers()["GOLD"]
    assert (value.bucket_capacity, value.leak_rate) == (1500, 2000)
    assert (value.quota_cap, value.requests_per_minute, value.concurrency) == (7, 8, 9)
    assert value.allowances == (("gemini", "day", 3), ("openai", "month", 5))
