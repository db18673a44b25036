"""The API keeps to its own description: random calls through the gateway, good ones and bad ones, by several callers.

Derandomized: the short form sends the same calls in every run.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from pytest_django import DjangoDbBlocker
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from apps.accounts import api as accounts
from apps.orgs import api as orgs
from leaky_tokens.local.system import System
from leaky_tokens.openapi import document
from tests.functional.people import JWT, Person, first_party_token, person

CHECKS: list[Any] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
ENDS_ITS_CREDENTIAL = {"logout", "changePassword", "leaveOrganisation", "endSession"}
LENIENT = {"register", "login", "createApiKey"}
"""The original's contract ignores unknown fields, and turns numbers into text as its clients were used to."""
WRONG_METHODS = ["GET", "PUT", "POST", "DELETE", "PATCH"]
"""Methods to try where they do not belong. The gateway refuses others such as TRACE by itself, with 501."""
ANONYMOUS, STRANGER, OWNER = "anonymous", "stranger", "owner"


def _api(*, coverage: bool) -> Any:
    # No credentials but those of the callers here: two at once are refused before anything else is looked at.
    config = SchemathesisConfig.from_dict(
        {
            "generation": {"with-security-parameters": False},
            "phases": {"coverage": {"enabled": coverage, "unexpected-methods": WRONG_METHODS}},
        }
    )
    return schemathesis.openapi.from_dict(document.build(), config=config)


def _quickly(examples: int) -> settings:
    return settings(
        max_examples=examples, derandomize=True, deadline=None, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip


@dataclass(slots=True)
class Callers:
    """A user without anything, and the owner of an organisation with a member and a key."""

    stranger: Person
    owner: Person
    ids: dict[str, str] = field(default_factory=dict)

    def token(self, who: str, operation: str) -> str:
        """The credential of ``who``; one of its own for a call that may end it."""
        one = self.owner if who == OWNER else self.stranger
        return first_party_token(one.user) if operation in ENDS_ITS_CREDENTIAL else one.credentials[JWT]


@pytest.fixture(scope="module")
def callers(system: System, django_db_blocker: DjangoDbBlocker) -> Iterator[Callers]:
    with django_db_blocker.unblock():
        stranger, owner, member = (person(str(system.facts["gateway_url"])) for _ in range(3))
        org = orgs.open_organisation(f"o{owner.user.pk.hex[:12]}", "Described")
        orgs.join(org, owner.id, "owner")
        orgs.join(org, member.id, "member")
        key, _text = accounts.create_api_key(owner.user, "described", org_id=org.pk)
        ids = {"org_id": str(org.pk), "user_id": str(member.id), "key_id": key.pk, "userId": str(owner.id)}
        yield Callers(stranger, owner, ids)


@pytest.fixture(scope="module", autouse=True)
def _nothing_broke(system: System) -> Iterator[None]:
    """No call of this module leaves a failure in the log of a service or of the gateway, whatever it answered."""
    logs = [system.place.log(name) for name in ("services", "gateway")]
    before = [log.stat().st_size for log in logs]
    yield
    said = [log.read_bytes()[size:] for log, size in zip(logs, before, strict=True)]
    assert [line for text in said for line in text.splitlines() if b'"request.failed"' in line] == []


def _at_home(case: Case, ids: dict[str, str]) -> None:
    """Let a call be about what the caller has, where a random id would find nothing."""
    for place in (case.path_parameters, case.query, case.body):
        if isinstance(place, dict):
            place.update({name: value for name, value in ids.items() if name in place})


def _send(case: Case, who: str, callers: Callers, url: str) -> None:
    operation = str(case.operation.definition.raw["operationId"])
    checks = list(CHECKS)
    if who == OWNER:
        _at_home(case, callers.ids)
    elif operation not in LENIENT:
        checks.append(negative_data_rejection)
    headers = {} if who == ANONYMOUS else {"Authorization": f"Bearer {callers.token(who, operation)}"}
    case.call_and_validate(base_url=url, headers=headers, checks=checks, timeout=20, allow_redirects=False)


@pytest.mark.parametrize("who", [ANONYMOUS, STRANGER, OWNER])
@_api(coverage=False).parametrize()
@_quickly(4)
def test_answers_are_as_described(case: Case, who: str, callers: Callers, gateway_url: str, committed: None) -> None:
    _send(case, who, callers, gateway_url)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("who", [ANONYMOUS, STRANGER, OWNER])
@_api(coverage=True).parametrize()
@_quickly(100)
def test_answers_are_as_described_for_long(
    case: Case, who: str, callers: Callers, gateway_url: str, committed: None
) -> None:
    _send(case, who, callers, gateway_url)


def test_the_description_is_served_by_the_gateway(gateway_url: str) -> None:
    with httpx.Client(base_url=gateway_url) as client:
        answers = {path: client.get(path) for path in ("/v3/api-docs", "/api/schema/", "/swagger-ui.html", "/redoc")}

    assert {path: answer.status_code for path, answer in answers.items()} == dict.fromkeys(answers, 200)
    assert answers["/v3/api-docs"].json() == document.build()
    for page in ("/swagger-ui.html", "/redoc"):
        policy = answers[page].headers["content-security-policy"]
        assert "script-src 'self';" in f"{policy};", policy
        assert "https://" not in answers[page].text


def test_every_described_path_is_there(gateway_url: str) -> None:
    described = document.build()
    with httpx.Client(base_url=gateway_url) as client:
        answers = {
            (method, path): client.request(method, re.sub(r"{\w+}", str(uuid4()), path))
            for path, method, _operation in document.operations(described)
        }

    missing = {where for where, answer in answers.items() if answer.status_code in {404, 405, 501}}
    assert missing == set()
