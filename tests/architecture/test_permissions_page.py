"""The page of permissions says what the code declares, and the gateway passes on whatever there is."""

import re

from gateway.services import route_of
from leaky_tokens.permissions import PAGE, plain, render, service_routes


def test_the_page_is_rendered_from_the_declarations() -> None:
    assert PAGE.read_text() == render(), "run `make pages`"


def test_every_route_can_be_reached_through_the_gateway() -> None:
    paths = {re.sub(r"{\w+}|…", "x", plain(route)) for route in service_routes()}
    unreachable = {path for path in paths if route_of(path, path.encode()) is None}

    assert len(paths) > 40
    assert unreachable == set()


def test_what_the_gateway_authenticates_and_what_views_believe_agree() -> None:
    """A view that wants somebody signed in is behind a path where the gateway finds out who it is."""
    unknown = set()
    for declared in service_routes():
        path = re.sub(r"{\w+}|…", "x", plain(declared))
        passed_on = route_of(path, path.encode())
        signed_in = declared.permission is not None and declared.permission.signed_in
        if signed_in and not (passed_on and passed_on.kind.authenticates):
            unknown.add(path)

    assert unknown == set()
