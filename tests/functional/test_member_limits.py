"""A member's limit ends their calls that the organisation pays, and nobody else's, from the moment that it is set."""

from uuid import uuid4

import httpx

from apps.accounts import api as accounts
from apps.orgs.api import join, open_organisation
from apps.orgs.domain import OWNER
from apps.orgs.models import Organisation
from apps.quotas import api as quotas
from tests.functional.payers import Payer, eventually, open_payer
from tests.functional.people import first_party_token
from tests.functional.test_barrier import BODY, HEADERS, bearer, cost_of_one


def _member(org: Organisation) -> Payer:
    """A plain member with a key for which the organisation pays."""
    own = open_payer(tokens=1)
    join(org, own.user_id)
    _, text = accounts.create_api_key(accounts.find_user_by_id(own.user_id), "org", org_id=org.pk)
    return Payer(own.user_id, text, quotas.account_id("org", org.pk, "openai"))


def test_a_members_limit_is_set_by_an_owner_and_holds_for_that_member_only(gateway_url: str, payer: Payer) -> None:
    org = open_organisation(f"o{uuid4().hex[:12]}", "Engines")
    owner = accounts.find_user_by_id(payer.user_id)
    join(org, owner.pk, OWNER)
    quotas.grant(
        payer_kind="org", payer_id=org.pk, provider="openai", tokens=1_000_000, grant_id=uuid4(), reason="test",
        actor="test",
    )  # fmt: skip
    limited = _member(org)
    cost = cost_of_one(gateway_url, limited)

    url = f"{gateway_url}/api/v1/orgs/{org.pk}/members/{limited.user_id}/limits"
    wanted = {"provider": "openai", "window": "day", "tokens": 2 * cost}
    with httpx.Client(headers={"authorization": f"Bearer {first_party_token(owner)}"}) as client:
        assert client.put(url, json=wanted).status_code == 200
        refused = eventually(lambda: _refused(gateway_url, limited))
        assert refused.json()["error"]["code"] == "member_limit_exceeded"
        assert f"lets you spend {2 * cost} tokens" in refused.json()["error"]["message"]
        _, other = accounts.create_api_key(owner, "org", org_id=org.pk)
        assert _call(gateway_url, Payer(owner.pk, other, limited.account)).status_code == 200

        assert client.delete(url).status_code == 204
        assert eventually(lambda: _call(gateway_url, limited).status_code == 200)


def _refused(gateway_url: str, payer: Payer) -> httpx.Response | None:
    answer = _call(gateway_url, payer)
    return answer if answer.status_code == 429 else None


def _call(gateway_url: str, payer: Payer) -> httpx.Response:
    return httpx.post(f"{gateway_url}/v1/chat/completions", json=BODY, headers=HEADERS | bearer(payer), timeout=30)
