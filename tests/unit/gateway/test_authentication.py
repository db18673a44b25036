"""Who is remembered, for how long, and who is forgotten: proven with a database that counts what it is asked."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from apps.accounts import keys
from apps.core.http.caller import INFERENCE, TOKENS_READ
from gateway.authentication import MOST_CHANGED, subjects_of
from gateway.control_plane import Principal
from gateway.errors import ApiError
from tests.unit.gateway.callers import Directory, bearer, exchange, somebody

ORG = UUID("0f8fad5b-d9cb-469f-a165-70867728950e")


def key_of(directory: Directory, principal: Principal) -> str:
    """A well-formed key of this principal."""
    key = keys.issue(principal.user_id)
    directory.principals[key] = principal
    return key


def new_key() -> str:
    return keys.issue(uuid4())


async def test_a_credential_is_looked_up_once() -> None:
    directory = Directory()
    authenticator = directory.authenticator()
    key = key_of(directory, somebody())

    callers = await asyncio.gather(*(authenticator.principal(bearer(key)) for _ in range(50)))

    assert callers == [directory.principals[key]] * 50
    assert await authenticator.principal(exchange((b"x-api-key", key.encode()))) == callers[0]
    assert await authenticator.principal(exchange((b"x-goog-api-key", key.encode()))) == callers[0]
    assert directory.asked == [key]


@pytest.mark.parametrize("subject", range(4))
async def test_only_whom_a_change_concerns_is_looked_up_again(subject: int) -> None:
    directory = Directory()
    authenticator = directory.authenticator()
    one = somebody(key_id="one", payer_kind="org", payer_id=ORG, org_id=ORG, bound_org_id=uuid4())
    first, second = key_of(directory, one), key_of(directory, somebody(key_id="two"))
    for key in (first, second):
        await authenticator.principal(bearer(key))

    authenticator.forget({subjects_of(one)[subject], "user:nobody"})
    for _ in range(3):
        await authenticator.principal(bearer(first))
        await authenticator.principal(bearer(second))

    assert directory.asked == [first, second, first]


def test_every_kind_of_credential_can_be_named() -> None:
    user = uuid4()
    assert subjects_of(somebody(user_id=user, key_id="k")) == (f"user:{user}", "key:k")
    assert subjects_of(somebody(user_id=user, kind="jwt", key_id="s")) == (f"user:{user}", "session:s")
    client = somebody(user_id=user, kind="oauth2", key_id="c", client_id="c", org_id=ORG, bound_org_id=ORG)
    assert subjects_of(client) == (f"user:{user}", "client:c", f"org:{ORG}")


@pytest.mark.parametrize("subjects", [None, {f"user:{number}" for number in range(MOST_CHANGED + 1)}])
async def test_without_names_or_with_too_many_everybody_is_forgotten(subjects: set[str] | None) -> None:
    directory = Directory()
    authenticator = directory.authenticator()
    callers = [key_of(directory, somebody()) for _ in range(3)]
    for key in callers:
        await authenticator.principal(bearer(key))

    authenticator.forget(subjects)
    for key in callers:
        await authenticator.principal(bearer(key))

    assert directory.asked == callers * 2


async def test_a_look_up_that_a_change_overtakes_is_not_remembered() -> None:
    directory = Directory()
    authenticator = directory.authenticator()
    before = somebody(tier="FREE")
    key = key_of(directory, before)
    directory.answering.clear()
    under_way = asyncio.ensure_future(authenticator.principal(bearer(key)))
    await directory.reading.wait()

    directory.principals[key] = after = replace(before, tier="PRO")
    authenticator.forget({"user:somebody else"})
    directory.answering.set()

    assert await under_way == before
    assert await authenticator.principal(bearer(key)) == after
    assert await authenticator.principal(bearer(key)) == after
    assert directory.asked == [key, key]


async def test_the_cache_stays_within_its_size() -> None:
    directory = Directory()
    authenticator = directory.authenticator(size=2)
    callers = [key_of(directory, somebody()) for _ in range(3)]
    for key in [*callers, callers[2], callers[1], callers[0]]:
        await authenticator.principal(bearer(key))

    assert directory.asked == [*callers, callers[0]]


async def test_a_key_ends_on_time_although_it_is_remembered() -> None:
    directory = Directory()
    authenticator = directory.authenticator()
    soon = datetime.now(UTC) + timedelta(milliseconds=50)
    key = key_of(directory, somebody(expires_at=soon))
    await authenticator.principal(bearer(key))
    del directory.principals[key]  # As the database's own clock will have it.
    assert await authenticator.principal(bearer(key))
    while datetime.now(UTC) <= soon:
        pass

    with pytest.raises(ApiError) as refusal:
        await authenticator.principal(bearer(key))

    assert refusal.value.status == 401
    assert directory.asked == [key, key]


async def test_a_caller_whose_tier_ends_is_looked_up_and_goes_on_with_another() -> None:
    directory = Directory()
    authenticator = directory.authenticator()
    soon = datetime.now(UTC) + timedelta(milliseconds=50)
    promoted = somebody(tier="PRO", expires_at=soon)
    key = key_of(directory, promoted)
    assert await authenticator.principal(bearer(key)) == promoted
    directory.principals[key] = usual = replace(promoted, tier="FREE", expires_at=None)
    while datetime.now(UTC) <= soon:
        pass

    callers = await asyncio.gather(*(authenticator.principal(bearer(key)) for _ in range(20)))

    assert callers == [usual] * 20
    assert await authenticator.principal(bearer(key)) == usual
    assert directory.asked == [key, key]


async def test_an_organisation_is_part_of_what_is_remembered() -> None:
    directory = Directory()
    authenticator = directory.authenticator()
    key = key_of(directory, somebody())
    named = (b"openai-organization", str(ORG).encode())

    for _ in range(2):
        assert (await authenticator.principal(bearer(key, named))).payer_id == ORG
        assert (await authenticator.principal(bearer(key))).payer_kind == "user"
        assert (await authenticator.principal(bearer(key, (named[0], b"")))).payer_kind == "user"
        assert (await authenticator.principal(bearer(key, named, path="/api/v1/orgs"))).payer_kind == "user"

    assert directory.asked == [key, key]


@pytest.mark.parametrize("name", [b"acme", b"' OR 1=1 --", b"\xff", str(ORG).encode() + b"0"])
async def test_what_is_no_id_is_no_organisation_of_anybodys(name: bytes) -> None:
    directory = Directory()
    key = key_of(directory, somebody())

    named = await directory.authenticator().principal(bearer(key, (b"openai-organization", name)))

    assert named.payer_id == UUID(int=0)


@pytest.mark.parametrize(
    ("peer", "allowed"),
    [
        ("203.0.113.9", True), ("::ffff:203.0.113.9", True), ("2001:db8::1", True), ("203.0.114.1", False),
        ("2001:db9::1", False), ("", False), ("unix:", False),
    ],
)  # fmt: skip
async def test_33_a_key_works_only_from_its_networks(peer: str, allowed: bool) -> None:
    directory = Directory()
    authenticator = directory.authenticator()
    key = key_of(directory, somebody(allowed_networks=("203.0.113.0/24", "2001:db8::/32")))

    for _ in range(2):
        if allowed:
            await authenticator.principal(bearer(key, peer=peer))
            continue
        with pytest.raises(ApiError) as refusal:
            await authenticator.principal(bearer(key, peer=peer))
        assert (refusal.value.status, refusal.value.code) == (403, "ip_not_allowed")
    assert directory.asked == [key]


async def test_33_a_key_does_only_what_it_was_given() -> None:
    directory = Directory()
    authenticator = directory.authenticator()
    key = key_of(directory, somebody(scopes=frozenset({TOKENS_READ})))

    assert await authenticator.principal(bearer(key), TOKENS_READ)
    with pytest.raises(ApiError) as refusal:
        await authenticator.principal(bearer(key), INFERENCE)

    error = refusal.value
    assert (error.status, error.code) == (403, "insufficient_scope")
    assert (b"www-authenticate", b'Bearer error="insufficient_scope", scope="inference"') in error.headers


@pytest.mark.parametrize("second", [b"authorization", b"x-api-key", b"x-goog-api-key"])
async def test_27_35_two_credentials_are_ambiguous(second: bytes) -> None:
    directory = Directory()
    key = key_of(directory, somebody())

    with pytest.raises(ApiError) as refusal:
        await directory.authenticator().principal(bearer(key, (second, new_key().encode())))

    assert (refusal.value.status, refusal.value.code) == (400, "ambiguous_credentials")
    assert directory.asked == []


async def test_uses_of_keys_are_noted_and_of_nothing_else() -> None:
    directory = Directory()
    authenticator = directory.authenticator()
    before = datetime.now(UTC).timestamp()
    await authenticator.principal(bearer(key_of(directory, somebody(key_id="used"))))
    await authenticator.principal(bearer(key_of(directory, somebody(kind="jwt", key_id="session"))))

    assert list(directory.used) == ["used"]
    assert before <= directory.used["used"] <= datetime.now(UTC).timestamp()
