"""What members may cost their organisation: who sets it, what is told of it, and who follows."""

import pytest

from apps.accounts.api import create_api_key
from apps.accounts.models import User
from apps.audit.models import Entry
from apps.config.api import CREDENTIALS, versions
from apps.orgs import memberships
from apps.orgs.api import join, open_organisation, principal_of
from apps.orgs.domain import ADMIN, OWNER, MemberLimit
from apps.orgs.models import MemberLimit as Row
from apps.orgs.models import Membership, Organisation
from tests.integration.orgs.calls import Calls, as_user, person

pytestmark = pytest.mark.django_db


@pytest.fixture
def org() -> Organisation:
    return open_organisation("engines", "Engines")


@pytest.fixture
def grace(org: Organisation) -> User:
    """A plain member."""
    grace = person("grace")
    join(org, grace.pk)
    return grace


@pytest.fixture
def owner(org: Organisation) -> Calls:
    ada = person("ada")
    join(org, ada.pk, OWNER)
    return as_user(ada)


def _path(org: Organisation, user: User) -> str:
    return f"orgs/{org.pk}/members/{user.pk}/limits"


def test_a_limit_is_set_replaced_listed_and_lifted(owner: Calls, org: Organisation, grace: User) -> None:
    path, seen = _path(org, grace), versions().get(CREDENTIALS, 0)
    wanted = {"userId": str(grace.pk), "provider": "openai", "window": "day", "tokens": 500}
    assert owner.put(path, provider="openai", window="day", tokens=500) == (200, wanted)
    assert owner.put(path, provider="openai", window="month", tokens=900)[1]["tokens"] == 900
    assert owner.put(path, window="month", tokens=2000)[1]["provider"] is None
    assert versions()[CREDENTIALS] == seen + 3
    listed = owner.get(path)[1]["items"]
    assert [(row["provider"], row["window"], row["tokens"]) for row in listed] == [
        (None, "month", 2000),
        ("openai", "month", 900),
    ]
    assert owner.get(f"orgs/{org.pk}/limits")[1]["items"] == listed
    assert owner.delete(f"{path}?provider=openai") == (204, None)
    assert [row["provider"] for row in owner.get(path)[1]["items"]] == [None]
    assert owner.delete(f"{path}?provider=*") == (204, None)
    assert owner.delete(path) == (204, None), "what is gone already stays gone"
    actions = list(Entry.objects.filter(subject_kind="member_limit").order_by("id").values_list("action", "after"))
    assert actions == [
        ("member_limit.created", {"provider": "openai", "window": "day", "tokens": 500}),
        ("member_limit.changed", {"window": "month", "tokens": 900}),
        ("member_limit.created", {"provider": "", "window": "month", "tokens": 2000}),
        ("member_limit.removed", None),
        ("member_limit.removed", None),
    ]
    assert set(Entry.objects.filter(subject_kind="member_limit").values_list("org_id", flat=True)) == {org.pk}


def test_the_same_limit_again_tells_nobody(owner: Calls, org: Organisation, grace: User) -> None:
    owner.put(_path(org, grace), window="day", tokens=5)
    seen, told = versions()[CREDENTIALS], Entry.objects.count()
    assert owner.put(_path(org, grace), window="day", tokens=5)[0] == 200
    assert (versions()[CREDENTIALS], Entry.objects.count()) == (seen, told)


def test_the_members_keys_carry_it(owner: Calls, org: Organisation, grace: User) -> None:
    _, text = create_api_key(grace, "server", org_id=org.pk)
    owner.put(_path(org, grace), provider="openai", window="day", tokens=500)
    assert principal_of(text).member_limits == (MemberLimit("openai", "day", 500),)


@pytest.mark.parametrize(
    "body",
    [
        {}, {"window": "day"}, {"window": "year", "tokens": 5}, {"window": "day", "tokens": 0},
        {"window": "day", "tokens": 10**15 + 1}, {"window": "day", "tokens": "many"},
        {"window": "day", "tokens": 5, "provider": ""}, {"window": "day", "tokens": 5, "provider": "a b"},
        {"window": "day", "tokens": 5, "provider": "*"}, {"window": "day", "tokens": 5, "role": "owner"},
    ],
)  # fmt: skip
def test_what_is_no_limit_is_refused(owner: Calls, org: Organisation, grace: User, body: dict[str, object]) -> None:
    assert owner.put(_path(org, grace), **body)[0] == 400
    assert not Row.objects.exists()


def test_a_limit_is_not_lifted_by_a_mistyped_query(owner: Calls, org: Organisation, grace: User) -> None:
    owner.put(_path(org, grace), window="day", tokens=5)
    assert owner.delete(f"{_path(org, grace)}?provider=")[0] == 400
    assert owner.delete(f"{_path(org, grace)}?povider=openai")[0] == 400
    assert Row.objects.count() == 1


def test_members_see_their_own_only_and_set_none(owner: Calls, org: Organisation, grace: User) -> None:
    owner.put(_path(org, grace), window="day", tokens=5)
    alan = person("alan")
    join(org, alan.pk)
    mine, other = as_user(grace), as_user(alan)
    assert mine.get(_path(org, grace))[1]["items"][0]["tokens"] == 5
    assert other.get(_path(org, grace))[1]["code"] == "missing_org_role"
    assert other.get(f"orgs/{org.pk}/limits")[1]["code"] == "missing_org_role"
    assert mine.put(_path(org, grace), window="day", tokens=10**9)[1]["code"] == "missing_org_role"
    assert mine.delete(_path(org, grace))[0] == 403
    assert as_user(person("eve")).get(_path(org, grace))[0] == 404


def test_admins_limit_plain_members_owners_everybody(owner: Calls, org: Organisation, grace: User) -> None:
    alan = person("alan")
    join(org, alan.pk, ADMIN)
    admin = as_user(alan)
    assert admin.put(_path(org, grace), window="day", tokens=5)[0] == 200
    assert admin.put(_path(org, alan), window="day", tokens=5)[0] == 403
    assert owner.put(_path(org, alan), window="day", tokens=5)[0] == 200
    assert owner.put(_path(org, person("eve")), window="day", tokens=5)[0] == 404


def test_limits_end_with_the_membership(owner: Calls, org: Organisation, grace: User) -> None:
    owner.put(_path(org, grace), window="day", tokens=5)
    memberships.end(Membership.objects.get(org=org, user=grace))
    assert not Row.objects.exists()
