"""Access tokens, scopes, networks and organisations at the real gateway (RELIABILITY.md rows 32, 33, 36 to 40)."""

import time
from uuid import UUID, uuid4

import httpx
import pytest
from django.db import transaction

from apps.accounts import api as accounts
from apps.accounts import signing
from apps.accounts.models import ApiKey, Session, User
from apps.accounts.services import save_user
from apps.config.api import CREDENTIALS, touch
from apps.core.http.caller import INFERENCE, TOKENS_READ
from apps.orgs.api import join, open_organisation
from apps.orgs.services import suspend
from apps.quotas import api as quotas
from tests.functional.identities import access_token, client_token, first_party_claims
from tests.functional.payers import Oracle, eventually
from tests.functional.refusing import GOOD, PATH, Caller, Refused, insist
from tests.functional.test_bad_credentials import INVALID, bearer, send, unknown_key, words
from tests.unit.gateway.bad_tokens import Forger


def models(caller: Caller, credential: str, **headers: str) -> httpx.Response:
    """The cheapest authenticated call."""
    return httpx.get(f"{caller.url}/v1/models", headers={"authorization": f"Bearer {credential}", **headers})


def call(caller: Caller, credential: str, **headers: str) -> httpx.Response:
    sent = {"authorization": f"Bearer {credential}", **headers}
    return httpx.post(caller.url + PATH, json=GOOD, headers=sent)


def test_tokens_call_models_and_their_user_pays(caller: Caller, oracle: Oracle) -> None:
    user = caller.payer.user_id
    before = oracle.calls()

    answers = [call(caller, token) for token in (access_token(user), client_token(user, INFERENCE, caller.url)[0])]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert oracle.calls() == before + 2
    used = sum(answer.json()["usage"]["total_tokens"] for answer in answers)
    assert caller.payer.settled().spent == used


def test_36_to_39_every_bad_token_is_answered_as_an_unknown_key(caller: Caller) -> None:
    forger = Forger(signing.signing_key(), first_party_claims(caller.payer.user_id))
    assert models(caller, forger.token()).status_code == 200, "what they are made of is good"
    bad = {name: token.encode() for name, token in forger.bad().items()}
    assert len(bad) >= 60

    with caller.leaving_no_trace(), httpx.Client() as client:
        due = words(send(caller, bearer(unknown_key())))
        headers = {"content-type": "application/json"}
        answers = {
            name: client.post(caller.url + PATH, json=GOOD, headers={**headers, "authorization": b"Bearer " + token})
            for name, token in bad.items()
        }

    insist(next(iter(answers.values())), INVALID)
    assert {name for name, answer in answers.items() if words(answer) != due} == set()


def test_unknown_key_ids_are_refused_without_waiting(caller: Caller) -> None:
    """Nothing is fetched, nobody is asked: each is one look into a dictionary."""
    forger = Forger(signing.signing_key(), first_party_claims(caller.payer.user_id))
    tokens = [forger.token({"kid": uuid4().hex}) for _ in range(100)]

    began = time.monotonic()
    with httpx.Client(base_url=caller.url) as client:
        statuses = {
            client.get("/v1/models", headers={"authorization": f"Bearer {token}"}).status_code for token in tokens
        }

    assert statuses == {401}
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("how", ["disabled", "tokens ended", "session ended"])
def test_40_a_token_in_use_ends_within_a_second(caller: Caller, how: str) -> None:
    token = access_token(caller.payer.user_id)
    assert models(caller, token).status_code == 200

    end(User.objects.get(pk=caller.payer.user_id), how)

    assert eventually(lambda: models(caller, token).status_code == 401, seconds=1)


def end(user: User, how: str) -> None:
    """As an operator, or the user, would."""
    if how == "session ended":
        for session in Session.objects.filter(user=user):
            accounts.end_session(user.pk, session.pk)
    elif how == "tokens ended":
        accounts.end_all(user.pk)
    else:
        user.is_active = False
        save_user(user)


def test_a_revoked_token_of_a_client_ends(caller: Caller) -> None:
    token, client = client_token(caller.payer.user_id, INFERENCE, caller.url)
    assert models(caller, token).status_code == 200

    with transaction.atomic():
        client.delete()
        touch(CREDENTIALS, f"client:{client.client_id}")

    assert eventually(lambda: models(caller, token).status_code == 401, seconds=1)


def test_33_what_a_credential_was_not_given_is_403(caller: Caller) -> None:
    narrow, _ = client_token(caller.payer.user_id, TOKENS_READ, caller.url)

    with caller.leaving_no_trace():
        answers = [call(caller, narrow), models(caller, narrow)]

    for answer in answers:
        insist(answer, Refused(403, "insufficient_scope"))
        assert answer.headers["www-authenticate"] == 'Bearer error="insufficient_scope", scope="inference"'


def test_33_a_key_is_refused_from_other_addresses(caller: Caller) -> None:
    user = User.objects.get(pk=caller.payer.user_id)
    texts = {}
    for networks in (["203.0.113.0/24"], ["127.0.0.0/8", "::1/128"]):
        key, text = accounts.create_api_key(user, "test")
        ApiKey.objects.filter(pk=key.pk).update(allowed_networks=networks)
        texts[networks[0]] = text

    with caller.leaving_no_trace():
        insist(call(caller, texts["203.0.113.0/24"]), Refused(403, "ip_not_allowed"))
    assert models(caller, texts["127.0.0.0/8"]).status_code == 200


def test_an_organisation_pays_when_a_member_names_it(caller: Caller) -> None:
    org = open_organisation(f"org-{uuid4().hex[:12]}", "Test")
    quotas.grant(
        payer_kind="org", payer_id=org.pk, provider="openai", tokens=1_000, grant_id=uuid4(), reason="test",
        actor="test",
    )  # fmt: skip
    named = {"openai-organization": str(org.pk)}
    key = caller.payer.key

    with caller.leaving_no_trace():
        insist(call(caller, key, **named), Refused(403, "not_a_member"))
        insist(call(caller, key, **{"openai-organization": "acme"}), Refused(403, "not_a_member"))
    join(org, caller.payer.user_id)
    answer = call(caller, key, **named)

    assert answer.status_code == 200
    account = quotas.account_id("org", org.pk, "openai")
    assert eventually(lambda: spent(account) == answer.json()["usage"]["total_tokens"])
    suspend([org.pk], suspended=True)
    assert eventually(lambda: call(caller, key, **named).status_code == 403, seconds=1)
    with caller.leaving_no_trace():  # Neither here nor in all of the above: the organisation alone has paid.
        insist(call(caller, key, **named), Refused(403, "account_suspended"))
    assert models(caller, key).status_code == 200, "the user's own calls go on"


def spent(account: UUID) -> int:
    found = quotas.balance(account)
    assert found is not None
    return found.spent


def test_a_key_that_is_bound_pays_with_its_organisation_only(caller: Caller) -> None:
    user = User.objects.get(pk=caller.payer.user_id)
    bound, other = (open_organisation(f"org-{uuid4().hex[:12]}", "Test") for _ in range(2))
    for org in (bound, other):
        join(org, user.pk)
    _, text = accounts.create_api_key(user, "test", org_id=bound.pk)

    assert models(caller, text, **{"openai-organization": str(bound.pk)}).status_code == 200
    insist(models(caller, text, **{"openai-organization": str(other.pk)}), Refused(403, "not_a_member"))


def test_a_keys_last_use_is_written(caller: Caller) -> None:
    key_id = ApiKey.objects.get(owner=caller.payer.user_id).pk
    assert models(caller, caller.payer.key).status_code == 200

    assert eventually(lambda: ApiKey.objects.get(pk=key_id).last_used_at, seconds=15)
