"""RELIABILITY.md S3, S4, S6, S7, rows 36 to 39: a bad token is refused, whatever is bad about it, asking no store."""

import pytest

from gateway.errors import ApiError, unauthorized
from tests.unit.gateway.bad_tokens import Forger, good_claims
from tests.unit.gateway.callers import SIGNING, TRUST, Directory, bearer, exchange, somebody

FORGER = Forger(SIGNING, good_claims(TRUST.first_party_issuer, TRUST.audience))
BAD = FORGER.bad()


def test_there_are_enough_of_them() -> None:
    assert len(set(BAD.values())) == len(BAD) >= 60


async def test_what_they_are_made_of_is_good() -> None:
    """Else all of this would prove nothing."""
    directory, user = Directory(), FORGER.subject
    directory.principals[user] = somebody(kind="jwt")

    assert await directory.authenticator().principal(bearer(FORGER.token())) == directory.principals[user]
    assert directory.asked == [user]


@pytest.mark.parametrize("token", BAD.values(), ids=BAD.keys())
async def test_a_bad_token_never_reaches_the_database(token: str) -> None:
    directory = Directory({FORGER.subject: somebody(kind="jwt")})

    with pytest.raises(ApiError) as refusal:
        await directory.authenticator().principal(bearer(token))

    error = refusal.value
    assert (error.status, error.body(), error.response_headers()) == (401, *unknown_key_answer())
    assert directory.asked == []


async def test_a_good_token_is_none_where_keys_belong() -> None:
    directory = Directory({FORGER.subject: somebody(kind="jwt")})
    authenticator = directory.authenticator()
    token = FORGER.token()
    await authenticator.principal(bearer(token))

    for header in (b"x-api-key", b"x-goog-api-key"):
        with pytest.raises(ApiError) as refusal:
            await authenticator.principal(exchange((header, token.encode())))
        assert refusal.value.status == 401


async def test_tokens_that_begin_alike_are_two_identities() -> None:
    """Equal in far more than their first 1000 bytes; they differ in the end of their claims."""
    one, two = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
    claims = good_claims(TRUST.first_party_issuer, TRUST.audience, padding="x" * 3000)
    del claims["sub"]  # So that it comes last.
    first, second = (Forger(SIGNING, claims).token(sub=subject) for subject in (one, two))
    directory = Directory({one: somebody(kind="jwt"), two: somebody(kind="jwt")})
    authenticator = directory.authenticator()

    assert first[:1000] == second[:1000]
    assert await authenticator.principal(bearer(first)) == directory.principals[one]
    assert await authenticator.principal(bearer(second)) == directory.principals[two]
    assert await authenticator.principal(bearer(first)) == directory.principals[one]
    assert directory.asked == [one, two]


def unknown_key_answer() -> tuple[bytes, list[tuple[bytes, bytes]]]:
    return unauthorized().body(), unauthorized().response_headers()
