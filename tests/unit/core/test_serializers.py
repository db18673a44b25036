"""Which names a request's fields may have."""

from typing import Any

import pytest
from rest_framework import serializers

from apps.accounts.models import User
from apps.core.http.serializers import Lenient, Strict


class Stern(Strict):
    name = serializers.CharField()
    id = serializers.CharField(read_only=True)


class Mild(Lenient):
    model = User
    username = serializers.CharField()


@pytest.mark.parametrize("field", ["nmae", "is_admin", "id", "balance"])
def test_a_strict_request_refuses_every_other_name(field: str) -> None:
    serializer = Stern(data={"name": "x", field: 1})
    assert not serializer.is_valid()
    assert set(serializer.errors) == {field}


@pytest.mark.parametrize(
    "field", ["is_admin", "isAdmin", "is_staff", "isStaff", "isSuperuser", "roles", "role", "token_version", "id"]
)
def test_a_lenient_request_refuses_what_is_not_the_callers_to_set(field: str) -> None:
    serializer = Mild(data={"username": "x", field: True})
    assert not serializer.is_valid()
    assert set(serializer.errors) == {field}


def test_a_lenient_request_ignores_what_means_nothing_here() -> None:
    serializer = Mild(data={"username": "x", "clientVersion": "1.2"})
    assert serializer.is_valid()
    assert serializer.validated_data == {"username": "x"}


@pytest.mark.parametrize("body", [None, [], "text", 7])
def test_what_is_no_object_is_refused(body: Any) -> None:
    assert not Stern(data=body).is_valid()
    assert not Mild(data=body).is_valid()


class _Typed(Strict):
    word = serializers.CharField(required=False, allow_null=True)
    flag = serializers.BooleanField(required=False)


@pytest.mark.parametrize(
    ("data", "wrong"),
    [
        ({"word": "0", "flag": False}, set()),
        ({"word": None}, set()),
        ({}, set()),
        ({"word": 0, "flag": 0}, {"word", "flag"}),
        ({"word": 1.5, "flag": "true"}, {"word", "flag"}),
    ],
)
def test_strict_takes_no_number_for_a_text_and_nothing_else_for_a_flag(data: dict[str, Any], wrong: set[str]) -> None:
    serializer = _Typed(data=data)
    assert serializer.is_valid() is (not wrong)
    assert set(serializer.errors) == wrong
