"""The token endpoint, revocation and introspection: what is refused, how, and what a refusal ends."""

import base64
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import jwt
import pytest
import requests
from django.utils import timezone
from oauth2_provider.models import AccessToken

from apps.accounts.api import find_access, published_keys, trust, verify_access_token
from apps.accounts.models import Application, Grant, User
from apps.accounts.oauth.clients import delete_client, rotate_secret
from apps.accounts.services import save_user
from apps.accounts.sessions import end_all
from apps.config.api import CREDENTIALS, versions
from apps.core.errors import InvalidCredential
from tests.integration.oauth.conftest import CALLBACK, Party, Register, allow, answer_of

PARALLEL = 8


def works(text: str) -> bool:
    """Whether the gateway would take this access token now."""
    try:
        find_access(verify_access_token(text, published_keys(), trust(), timezone.now()))
    except InvalidCredential:
        return False
    return True


def error_of(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]


@pytest.fixture
def robot(register: Register, person: User) -> Party:
    """A client that acts for an account of its own."""
    return register(
        authorization_grant_type=Application.GRANT_CLIENT_CREDENTIALS, redirect_uris="", user=person,
        allowed_scopes=["inference", "tokens:read", "tokens:purchase"],
    )  # fmt: skip


# Rows 95-102


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_challenge": None, "code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"response_type": None}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": "id_token"}, "unsupported_response_type"),
        ({"response_type": "code id_token"}, "unsupported_response_type"),
        ({"response_type": "none"}, "unsupported_response_type"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"scope": "openid analytics:read"}, "invalid_scope"),
        ({"scope": "root"}, "invalid_scope"),
        ({"nonce": "n" * 256}, "invalid_request"),
        ({"max_age": "soon"}, "invalid_request"),
        ({"prompt": "none login"}, "invalid_request"),
        ({"request": "e30.e30."}, "request_not_supported"),
        ({"request_uri": "https://evil.example/r"}, "request_uri_not_supported"),
        ({"registration": "{}"}, "registration_not_supported"),
    ],
)
def test_bad_authorization_requests_go_back(
    party: Party, browser: requests.Session, changes: dict[str, str | None], error: str
) -> None:
    answer = answer_of(allow(browser, party.address(**changes)))
    assert (answer["error"], answer["state"]) == (error, "s-1")
    assert answer["iss"]
    assert "code" not in answer


def test_verifier_wrong_missing_or_too_much(party: Party, browser: requests.Session) -> None:
    code = party.code(browser)
    assert error_of(party.exchange(code, code_verifier="x" * 43)) == (400, "invalid_grant")
    assert error_of(party.exchange(code, code_verifier=None)) == (400, "invalid_request")
    Grant.objects.filter(code=code).update(code_challenge="", code_challenge_method="")
    assert error_of(party.exchange(code)) == (400, "invalid_grant")


def test_code_of_another_address(party: Party, browser: requests.Session) -> None:
    assert error_of(party.exchange(party.code(browser), redirect_uri=f"{CALLBACK}/x")) == (400, "invalid_grant")


def test_code_is_good_once_and_its_reuse_ends_what_it_gave(party: Party, browser: requests.Session) -> None:
    code = party.code(browser, scope="openid inference offline_access")
    first = party.exchange(code).json()
    second = party.post("token", grant_type="refresh_token", refresh_token=first["refresh_token"]).json()
    assert works(second["access_token"])
    version = versions().get(CREDENTIALS, 0)
    assert error_of(party.exchange(code)) == (400, "invalid_grant")
    assert versions().get(CREDENTIALS, 0) > version
    assert not works(first["access_token"])
    assert not works(second["access_token"])
    late = party.post("token", grant_type="refresh_token", refresh_token=second["refresh_token"])
    assert error_of(late) == (400, "invalid_grant")


def test_code_exchanged_in_parallel_gives_nothing_that_lives(party: Party, browser: requests.Session) -> None:
    code, start = party.code(browser), Barrier(PARALLEL)

    def exchange(_: int) -> requests.Response:
        start.wait()
        return party.exchange(code)

    with ThreadPoolExecutor(PARALLEL) as pool:
        answers = list(pool.map(exchange, range(PARALLEL)))
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * (PARALLEL - 1)
    [won] = [answer.json() for answer in answers if answer.status_code == 200]
    assert not works(won["access_token"])


def test_code_of_another_client_and_old_code(party: Party, register: Register, browser: requests.Session) -> None:
    code = party.code(browser)
    thief = register()
    thief.verifier = party.verifier
    assert error_of(thief.exchange(code)) == (400, "invalid_grant")
    Grant.objects.filter(code=code).update(expires=timezone.now() - timedelta(seconds=1))
    assert error_of(party.exchange(code)) == (400, "invalid_grant")


def test_code_lives_for_a_minute(party: Party, browser: requests.Session) -> None:
    grant = Grant.objects.get(code=party.code(browser))
    assert timedelta(seconds=59) < grant.expires - grant.created < timedelta(seconds=61)


def test_refresh_rotates_and_narrows(party: Party, browser: requests.Session) -> None:
    first = party.tokens(browser, scope="openid inference tokens:read offline_access")
    narrow = party.post(
        "token", grant_type="refresh_token", refresh_token=first["refresh_token"], scope="openid inference"
    ).json()
    assert narrow["refresh_token"] != first["refresh_token"]
    assert narrow["scope"] == "openid inference"
    wide = party.post(
        "token", grant_type="refresh_token", refresh_token=narrow["refresh_token"], scope="openid inference tokens:read"
    )
    assert error_of(wide) == (400, "invalid_scope")


def test_old_refresh_token_ends_the_family(party: Party, browser: requests.Session) -> None:
    first = party.tokens(browser)
    second = party.post("token", grant_type="refresh_token", refresh_token=first["refresh_token"]).json()
    version = versions().get(CREDENTIALS, 0)
    again = party.post("token", grant_type="refresh_token", refresh_token=first["refresh_token"])
    assert error_of(again) == (400, "invalid_grant")
    assert versions().get(CREDENTIALS, 0) > version
    assert not works(second["access_token"])
    late = party.post("token", grant_type="refresh_token", refresh_token=second["refresh_token"])
    assert error_of(late) == (400, "invalid_grant")


def test_refresh_token_reused_in_parallel(party: Party, browser: requests.Session) -> None:
    text, start = party.tokens(browser)["refresh_token"], Barrier(PARALLEL)

    def refresh(_: int) -> requests.Response:
        start.wait()
        return party.post("token", grant_type="refresh_token", refresh_token=text)

    with ThreadPoolExecutor(PARALLEL) as pool:
        answers = list(pool.map(refresh, range(PARALLEL)))
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * (PARALLEL - 1)
    [won] = [answer.json() for answer in answers if answer.status_code == 200]
    assert not works(won["access_token"])
    late = party.post("token", grant_type="refresh_token", refresh_token=won["refresh_token"])
    assert error_of(late) == (400, "invalid_grant")


def test_refresh_token_of_another_client(party: Party, register: Register, browser: requests.Session) -> None:
    text = party.tokens(browser)["refresh_token"]
    stolen = register().post("token", grant_type="refresh_token", refresh_token=text)
    assert error_of(stolen) == (400, "invalid_grant")
    assert party.post("token", grant_type="refresh_token", refresh_token=text).status_code == 200


@pytest.mark.parametrize("grant_type", ["password", "implicit", "urn:ietf:params:oauth:grant-type:device_code", "x"])
def test_other_grants_do_not_exist(robot: Party, grant_type: str) -> None:
    answer = robot.post("token", grant_type=grant_type, username="ada", password="x")
    assert error_of(answer) == (400, "unsupported_grant_type")


def test_token_endpoint_takes_a_form_by_post_alone(robot: Party) -> None:
    address = f"{robot.server}/oauth2/token"
    basic = (robot.client.client_id, robot.secret)
    grant = {"grant_type": "client_credentials"}
    assert requests.post(address, json=grant, auth=basic, timeout=10).status_code == 415
    assert requests.get(address, params=grant, auth=basic, timeout=10).status_code == 405
    inside = grant | {"client_id": robot.client.client_id}
    answer = requests.post(f"{address}?client_secret={robot.secret}", data=inside, timeout=10)
    assert error_of(answer) == (400, "invalid_request")
    twice = [("grant_type", "client_credentials"), ("scope", "inference"), ("scope", "tokens:read")]
    assert error_of(requests.post(address, data=twice, auth=basic, timeout=10)) == (400, "invalid_request")
    assert error_of(robot.post("token", grant_type="client_credentials", scope="a\0b")) == (400, "invalid_request")


@pytest.mark.parametrize("endpoint", ["token", "revoke", "introspect"])
@pytest.mark.parametrize("secret", [None, "", "wrong", "nul\0"])
def test_client_must_be_known(robot: Party, endpoint: str, secret: str | None) -> None:
    text = f"{robot.client.client_id}:{secret or ''}".encode()
    headers = {} if secret is None else {"Authorization": f"Basic {base64.b64encode(text).decode()}"}
    form = {"grant_type": "client_credentials", "token": "x"}
    answer = requests.post(f"{robot.server}/oauth2/{endpoint}", data=form, headers=headers, timeout=10)
    assert error_of(answer) == (401, "invalid_client")
    assert answer.headers["WWW-Authenticate"].startswith("Basic")
    assert "no-store" in answer.headers["Cache-Control"]


# Client credentials


def test_client_credentials_act_for_the_account(robot: Party, person: User) -> None:
    told = robot.session().fetch_token(f"{robot.server}/oauth2/token", grant_type="client_credentials")
    assert told["scope"] == "inference tokens:purchase tokens:read"
    assert "refresh_token" not in told
    found = find_access(verify_access_token(told["access_token"], published_keys(), trust(), timezone.now()))
    assert (found.user_id, found.client_id) == (person.pk, robot.client.client_id)


def test_old_scope_names_mean_the_new_ones(robot: Party) -> None:
    told = robot.post("token", grant_type="client_credentials", scope="tokens.read tokens.write").json()
    claims = verify_access_token(told["access_token"], published_keys(), trust(), timezone.now())
    assert claims.scopes == {"tokens:read", "tokens:purchase"}


@pytest.mark.parametrize("scope", ["openid", "offline_access", "keys:manage", "analytics:read"])
def test_client_gets_no_scope_beyond_its_own(robot: Party, scope: str) -> None:
    assert error_of(robot.post("token", grant_type="client_credentials", scope=scope)) == (400, "invalid_scope")


def test_grant_belongs_to_the_registration(robot: Party, party: Party) -> None:
    assert error_of(party.post("token", grant_type="client_credentials")) == (400, "unauthorized_client")


def test_client_without_account_cannot_act(register: Register) -> None:
    party = register(authorization_grant_type=Application.GRANT_CLIENT_CREDENTIALS, redirect_uris="")
    assert error_of(party.post("token", grant_type="client_credentials")) == (400, "unauthorized_client")


# Ends


def _disable(robot: Party, person: User, text: str) -> None:
    person.is_active = False
    save_user(person)


def _raise_version(robot: Party, person: User, text: str) -> None:
    end_all(person.pk)


def _delete(robot: Party, person: User, text: str) -> None:
    delete_client(robot.client)


def _rotate(robot: Party, person: User, text: str) -> None:
    rotate_secret(robot.client)


def _revoke(robot: Party, person: User, text: str) -> None:
    assert robot.post("revoke", token=text, token_type_hint="refresh_token").status_code == 200


@pytest.mark.parametrize("end", [_disable, _raise_version, _delete, _rotate, _revoke])
def test_token_ends_and_gateways_hear_of_it(robot: Party, person: User, end: object) -> None:
    text = robot.post("token", grant_type="client_credentials").json()["access_token"]
    assert works(text)
    version = versions().get(CREDENTIALS, 0)
    end(robot, person, text)  # type: ignore[operator]
    assert not works(text)
    assert versions().get(CREDENTIALS, 0) > version


@pytest.mark.parametrize("end", [_disable, _raise_version])
def test_refresh_and_code_end_with_the_person(
    party: Party, browser: requests.Session, person: User, end: object
) -> None:
    code, refresh = party.code(browser), party.tokens(browser)["refresh_token"]
    end(party, person, "")  # type: ignore[operator]
    late = party.post("token", grant_type="refresh_token", refresh_token=refresh)
    assert error_of(late) == (400, "invalid_grant")
    assert error_of(party.exchange(code)) == (400, "invalid_grant")


def test_revoked_refresh_token_takes_its_access_token_along(party: Party, browser: requests.Session) -> None:
    told = party.tokens(browser)
    assert party.post("revoke", token=told["refresh_token"]).status_code == 200
    assert not works(told["access_token"])
    late = party.post("token", grant_type="refresh_token", refresh_token=told["refresh_token"])
    assert error_of(late) == (400, "invalid_grant")


def test_foreign_tokens_are_neither_revoked_nor_told_of(
    party: Party, register: Register, browser: requests.Session
) -> None:
    told, other = party.tokens(browser), register()
    for text in (told["access_token"], told["refresh_token"], "unknown"):
        assert other.post("introspect", token=text).json() == {"active": False}
        assert other.post("revoke", token=text).status_code == 200
    assert works(told["access_token"])
    assert party.post("introspect", token=told["refresh_token"]).json()["active"] is True


def test_introspection_of_ones_own(party: Party, browser: requests.Session, person: User) -> None:
    told = party.tokens(browser)
    seen = party.post("introspect", token=told["access_token"]).json()
    claims = jwt.decode(told["access_token"], options={"verify_signature": False})
    assert seen == {"active": True, "token_type": "Bearer", **{name: claims[name] for name in claims if name != "tv"}}
    party.post("revoke", token=told["access_token"])
    for text in (told["access_token"], told["refresh_token"], told["id_token"]):
        assert party.post("introspect", token=text).json() == {"active": False}


def test_nothing_of_a_token_is_stored(party: Party, browser: requests.Session) -> None:
    told = party.tokens(browser)
    row = AccessToken.objects.get(application=party.client)
    assert (row.token, row.refresh_token.token) == ("", "")
    assert told["access_token"] not in str(row.__dict__)
    assert party.secret not in Application.objects.get(pk=party.client.pk).client_secret
