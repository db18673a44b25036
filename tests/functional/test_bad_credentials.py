"""RELIABILITY.md §5.2 rows 26 to 31, 34: whatever is wrong with a credential, nothing leaks, and nothing happens."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from uuid import uuid4

import httpx
import orjson
import pytest
from django.db import transaction

from apps.accounts import api as accounts
from apps.accounts import keys
from apps.accounts.models import User
from apps.accounts.services import save_user
from leaky_tokens.local.system import System
from tests.functional.payers import eventually
from tests.functional.refusing import GOOD, PATH, Caller, Refused, insist, row

INVALID = Refused(401, "invalid_api_key")
BODY = orjson.dumps(GOOD)


def send(caller: Caller, *headers: tuple[bytes, bytes], query: str = "") -> httpx.Response:
    """A good call but for its credential, which is nothing but these headers."""
    typed = [(b"content-type", b"application/json"), *headers]
    with caller.leaving_no_trace():
        return httpx.post(f"{caller.url}{PATH}{query}", content=BODY, headers=typed)


def bearer(credential: bytes) -> tuple[bytes, bytes]:
    return b"authorization", b"Bearer " + credential


def words(answer: httpx.Response) -> tuple[object, ...]:
    """All of an answer but what is its own: request id and time."""
    own = ("x-request-id", "date")
    return answer.status_code, answer.content, [pair for pair in answer.headers.items() if pair[0] not in own]


@contextmanager
def keys_that_nobody_can_look_up() -> Iterator[None]:
    """A lock on the table of keys: who asks it for a credential waits until the end of this block."""
    with transaction.atomic():
        _lock_keys()
        yield


def _lock_keys() -> None:
    with transaction.get_connection().cursor() as cursor:
        cursor.execute("LOCK TABLE accounts_apikey IN ACCESS EXCLUSIVE MODE")


def unknown_key() -> bytes:
    """Well-formed, and nobody's."""
    return keys.issue(uuid4()).encode()


def mistyped(key: str) -> bytes:
    """One character of the secret is another one."""
    return (key[:60] + ("a" if key[60] != "a" else "b") + key[61:]).encode()


@pytest.mark.parametrize(
    "headers",
    [
        row(26, "none", []),
        row(27, "empty", [(b"authorization", b"Bearer")]),
        row(27, "basic", [(b"authorization", b"Basic bGVha3k6bGVha3k=")]),
        row(27, "no scheme", [(b"authorization", b"leaky_key")]),
        row(27, "list", [bearer(b"one, Bearer two")]),
    ],
)
def test_no_credential_of_ours_is_401(caller: Caller, headers: list[tuple[bytes, bytes]]) -> None:
    insist(send(caller, *headers), INVALID)


def test_27_two_credentials_are_ambiguous_even_if_both_are_good(caller: Caller) -> None:
    good = caller.payer.key.encode()

    insist(send(caller, bearer(good), bearer(good)), Refused(400, "ambiguous_credentials"))
    insist(send(caller, bearer(good), (b"x-api-key", good)), Refused(400, "ambiguous_credentials"))


def test_35_a_second_credential_in_any_header_is_ambiguous(caller: Caller) -> None:
    good = caller.payer.key.encode()

    for other in (good, unknown_key()):
        insist(send(caller, bearer(good), (b"x-goog-api-key", other)), Refused(400, "ambiguous_credentials"))
        insist(send(caller, (b"x-api-key", good), (b"x-goog-api-key", other)), Refused(400, "ambiguous_credentials"))


def test_35_a_key_is_good_in_each_of_the_headers(caller: Caller) -> None:
    key = caller.payer.key.encode()

    for header in (bearer(key), (b"x-api-key", key), (b"x-goog-api-key", key)):
        assert httpx.get(f"{caller.url}/v1/models", headers=[header]).status_code == 200


def test_28_to_30_junk_is_refused_alike_and_without_asking_any_store(caller: Caller) -> None:
    good = caller.payer.key
    junk = [
        mistyped(good),
        b"' OR (SELECT pg_sleep(8)) IS NOT NULL --",
        b"x" * 40_000,
        "leaky_schlüssel".encode(),
        good.encode() + "\u200b".encode(),
        good.encode() + b"\xff",
    ]

    with keys_that_nobody_can_look_up():
        answers = [send(caller, bearer(credential)) for credential in junk]
        with pytest.raises(httpx.ReadTimeout):  # The lock bites: a key that could be somebody's has to be looked up.
            httpx.get(
                f"{caller.url}/v1/models", headers={"authorization": f"Bearer {unknown_key().decode()}"}, timeout=0.5
            )

    insist(answers[0], INVALID)
    assert {str(words(answer)) for answer in answers} == {str(words(send(caller, bearer(unknown_key()))))}


def test_30_a_credential_beyond_the_cap_of_the_head_is_431(caller: Caller) -> None:
    insist(send(caller, bearer(b"x" * 100_000)), Refused(431, "headers_too_large"))


def test_31_dead_keys_are_answered_as_unknown_ones(caller: Caller) -> None:
    user = User.objects.get(pk=caller.payer.user_id)
    revoked, revoked_text = accounts.create_api_key(user, "revoked")
    accounts.revoke_api_key(revoked.id)
    _, expired = accounts.create_api_key(user, "expired", expires_at=datetime(2020, 1, 1, tzinfo=UTC))
    dead = [revoked_text.encode(), expired.encode(), inactive_users_key(), removed_members_key()]

    unknown = send(caller, bearer(unknown_key()))

    insist(unknown, INVALID)
    assert [words(send(caller, bearer(key))) for key in dead] == [words(unknown)] * len(dead)


def inactive_users_key() -> bytes:
    name = f"gone-{uuid4().hex[:12]}"
    user = accounts.open_user(username=name, email=f"{name}@example.org", password=uuid4().hex)
    _, text = accounts.create_api_key(user, "test")
    user.is_active = False
    save_user(user)
    return text.encode()


def removed_members_key() -> bytes:
    """A key that lets an organisation pay of which its owner is no member."""
    name = f"left-{uuid4().hex[:12]}"
    user = accounts.open_user(username=name, email=f"{name}@example.org", password=uuid4().hex)
    return accounts.create_api_key(user, "test", org_id=uuid4())[1].encode()


@pytest.mark.parametrize("how", ["revoked", "user inactive"])
def test_31_a_key_in_use_stops_within_a_second(caller: Caller, how: str) -> None:
    user = User.objects.get(pk=caller.payer.user_id)
    key, text = accounts.create_api_key(user, "in use")
    assert status_of(caller, text) == 200

    if how == "revoked":
        accounts.revoke_api_key(key.id)
    else:
        user.is_active = False
        save_user(user)

    assert eventually(lambda: status_of(caller, text) == 401, seconds=1)


def status_of(caller: Caller, key: str) -> int:
    return httpx.get(f"{caller.url}/v1/models", headers={"authorization": f"Bearer {key}"}).status_code


@pytest.mark.parametrize("name", ["api_key", "key", "access_token"])
def test_34_a_key_in_the_url_is_refused_with_advice_and_not_logged(caller: Caller, system: System, name: str) -> None:
    answer = send(caller, query=f"?{name}={caller.payer.key}")

    insist(answer, INVALID)
    assert "in the header" in answer.json()["error"]["message"]
    log = eventually(lambda: logged(system, answer.headers["x-request-id"]))
    assert answer.headers["x-request-id"] in log
    assert caller.payer.key not in log


def logged(system: System, request_id: str) -> str:
    """Everything that all processes have logged, once this request is in it."""
    everything = "".join(file.read_text(errors="replace") for file in system.place.file("logs").iterdir())
    return everything if request_id in everything else ""
