"""A route that nobody has thought about stops the start; a view reaches rows through selectors only."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.http import HttpRequest, HttpResponse
from django.urls import path
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.errors import ConfigurationError
from apps.core.http.permissions import ANYONE, declare, insist_on_permissions
from apps.core.http.views import ApiView

ROOT = Path(__file__).resolve().parents[2]
VIEWS = sorted(file for pattern in ("*/rest/*.py", "*/pages/*.py") for file in (ROOT / "apps").glob(pattern))

START_WITH_AN_UNDECLARED_ROUTE = """
from django.urls import path
from leaky_tokens import services
declared = services.routes_of
services.routes_of = lambda name: [*declared(name), path("api/v1/forgotten", lambda request: None)]
import leaky_tokens.asgi
"""


class HalfDeclared(ApiView):
    permissions = {"GET": ANYONE}

    def get(self, request: Request) -> Response:  # noqa: ARG002
        return Response()

    def delete(self, request: Request) -> Response:  # noqa: ARG002
        return Response(status=204)


def bare(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


def test_a_process_does_not_start_with_an_undeclared_route() -> None:
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "leaky_tokens.settings.test", "LEAKY_SERVICES": "auth"}
    started = subprocess.run(
        [sys.executable, "-c", START_WITH_AN_UNDECLARED_ROUTE],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert started.returncode != 0
    assert "routes without a declared permission: * /api/v1/forgotten" in started.stderr


def test_every_method_needs_its_own_declaration() -> None:
    with pytest.raises(ConfigurationError, match=r": DELETE /half, \* /bare$"):
        insist_on_permissions([path("half", HalfDeclared.as_view()), path("bare", bare)])


def test_what_is_declared_may_start() -> None:
    insist_on_permissions([path("bare", declare(ANYONE, bare))])


@pytest.mark.parametrize("file", VIEWS, ids=lambda file: str(file.relative_to(ROOT)))
def test_views_do_not_query(file: Path) -> None:
    assert re.findall(r"\.objects\b.*", file.read_text()) == []
