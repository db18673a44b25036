"""Every route, asked by everybody with every kind of credential, over HTTP through the gateway."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from django.urls import get_resolver
from pytest_django import DjangoDbBlocker

from apps.core.http.permissions import routes
from leaky_tokens.local.system import System
from tests.functional.matrix import OK, ROWS, Public, Row
from tests.functional.people import JWT, Person, Things, World, first_party_token, world

pytestmark = pytest.mark.timeout(300)

GUARDED = {route: row for route, row in ROWS.items() if isinstance(row, Row)}
OPEN = {route: row for route, row in ROWS.items() if not isinstance(row, Row)}
WITH_IDS = {route: row for route, row in GUARDED.items() if "{" in route}
NEVER_THERE = ("0f8fad5b-d9cb-469f-a165-70867728950e", "x", "1-1-1-1-1", "a'b", "0F8FAD5B-D9CB-469F-A165-70867728950E0")


@pytest.fixture(scope="module")
def made(system: System, django_db_blocker: DjangoDbBlocker) -> Iterator[World]:
    """One world for all rows: what a call uses up is made for that call."""
    with django_db_blocker.unblock():
        yield world(str(system.facts["gateway_url"]))


def test_every_route_has_a_row_and_every_row_a_route() -> None:
    served = {f"{route.method} /{route.path}" for route in routes(get_resolver("leaky_tokens.api_urls").url_patterns)}

    assert sorted({_blank(route) for route in served} ^ {_blank(route) for route in ROWS}) == []


@pytest.mark.parametrize("route", GUARDED)
def test_who_may(route: str, made: World, gateway_url: str, committed: None) -> None:
    row, things = GUARDED[route], Things(made)
    callers = [(who, person, kind) for who, person in made.people.items() for kind in person.credentials]
    with httpx.Client(base_url=gateway_url) as client:
        answers = {(who, kind): _ask(client, route, things, person, kind) for who, person, kind in callers}
        nobody = _ask(client, route, things, made.people["owner"], "")

    wrong = {
        f"{who} with {kind}": (answer.status_code, row.expected(who, kind), answer.text)
        for (who, kind), answer in answers.items()
        if not _is_as_expected(answer.status_code, row.expected(who, kind))
    }
    assert wrong == {}
    assert nobody.status_code == 401


@pytest.mark.parametrize("route", OPEN)
def test_what_is_open_answers_everybody_alike(route: str, made: World, gateway_url: str, committed: None) -> None:
    row = OPEN[route]
    method, path = route.replace("* ", "GET ").split(" ")
    path = getattr(row, "path", "") or path
    credentials = () if path.endswith("/validate") else made.people["owner"].credentials.values()
    body = row.body if isinstance(row, Public) else None
    with httpx.Client(base_url=gateway_url) as client:
        answers = [
            client.request(method, re.sub(r"{\w+}", NEVER_THERE[0], path), json=body, headers=headers)
            for headers in ({}, *({"Authorization": f"Bearer {credential}"} for credential in credentials))
        ]

    assert {answer.status_code for answer in answers} == {row.status}, answers[0].text


@pytest.mark.parametrize("route", WITH_IDS)
def test_foreign_and_malformed_ids_look_alike(route: str, made: World, gateway_url: str, committed: None) -> None:
    method, path = route.split(" ")
    token = first_party_token(made.people["stranger"].user)
    body = WITH_IDS[route].body
    with httpx.Client(base_url=gateway_url, headers={"Authorization": f"Bearer {token}"}) as client:
        answers = [client.request(method, re.sub(r"{\w+}", wrong, path), json=body) for wrong in NEVER_THERE]

    assert {answer.status_code for answer in answers} == {404}
    assert len({(answer.json()["message"], answer.json()["code"]) for answer in answers}) == 1


def _ask(client: httpx.Client, route: str, things: Things, person: Person, kind: str) -> httpx.Response:
    row = GUARDED[route]
    method, path = route.split(" ")
    credential = (
        first_party_token(person.user) if (kind, "token" in row.fresh) == (JWT, True) else person.credentials.get(kind)
    )

    def filled(text: str) -> str:
        return re.sub(r"{(\w+)}", lambda found: things.named(found[1], person, anew=found[1] in row.fresh), text)

    return client.request(
        method,
        filled(path + row.query),
        json=None if row.body is None else {name: filled(str(value)) for name, value in row.body.items()},
        headers={"Authorization": f"Bearer {credential}"} if kind else {},
    )


def _blank(route: str) -> str:
    """The route without the names of its parameters."""
    return re.sub(r"<(?:\w+:)?\w+>|{\w+}", "{}", route)


def _is_as_expected(status: int, expected: Any) -> bool:
    return status not in {401, 403, 404} and status < 500 if expected == OK else status == expected
