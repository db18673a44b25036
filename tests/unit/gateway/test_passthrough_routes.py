"""Which paths reach a service: those of the table, plainly written, and no other. RELIABILITY.md, S11 and row 24."""

import pytest

from apps.core.errors import ConfigurationError
from gateway.services import API, BROWSER, OAUTH, OPEN, VALIDATION, Kind, origins, route_of
from gateway.upstream.client import Origin


@pytest.mark.parametrize(
    ("path", "service", "kind", "pattern"),
    [
        ("/api/v1/auth/login", "auth", API, "/api/v1/auth/**"),
        ("/api/v1/auth/api-keys", "auth", API, "/api/v1/auth/**"),
        ("/api/v1/auth/api-keys/validate", "auth", VALIDATION, "/api/v1/auth/api-keys/validate"),
        ("/api/v1/auth/api-keys/validate/", "auth", API, "/api/v1/auth/**"),
        ("/api/v1/orgs", "auth", API, "/api/v1/orgs/**"),
        ("/api/v1/invitations/In-Vi_tation:x", "auth", API, "/api/v1/invitations/**"),
        ("/api/v1/audit", "auth", API, "/api/v1/audit/**"),
        ("/api/v1/tokens/quota", "token", API, "/api/v1/tokens/**"),
        ("/api/v1/providers", "token", API, "/api/v1/providers/**"),
        ("/api/v1/rate-limits", "token", API, "/api/v1/rate-limits/**"),
        ("/api/v1/analytics/usage", "analytics", API, "/api/v1/analytics/**"),
        ("/oauth2/token", "auth", OAUTH, "/oauth2/**"),
        ("/oauth2/authorize", "auth", BROWSER, "/oauth2/authorize/**"),
        ("/oauth2/logout", "auth", BROWSER, "/oauth2/logout/**"),
        ("/.well-known/openid-configuration", "auth", OAUTH, "/.well-known/**"),
        ("/account/reset/Mw/c8-AbC/", "auth", BROWSER, "/account/**"),
        ("/static/unfold/Inter-Bold.woff2", "auth", OPEN, "/static/**"),
        ("/api/schema/", "auth", OPEN, "/api/schema/**"),
        ("/v3/api-docs", "auth", OPEN, "/v3/api-docs/**"),
        ("/swagger-ui.html", "auth", OPEN, "/swagger-ui.html"),
        ("/swagger-ui/index.html", "auth", OPEN, "/swagger-ui/**"),
        ("/redoc", "auth", OPEN, "/redoc/**"),
    ],
)
def test_the_table(path: str, service: str, kind: Kind, pattern: str) -> None:
    route = route_of(path, path.encode())

    assert route is not None
    assert (route.service, route.kind, route.pattern) == (service, kind, pattern)


@pytest.mark.parametrize(
    "raw",
    [
        b"/", b"*", b"", b"/api", b"/api/", b"/api/v1", b"/api/v1/nothing", b"/api/v1/authx", b"/api/v2/auth/login",
        b"//api/v1/auth/login", b"/api//v1/auth/login", b"/api/v1/auth//login", b"/api/v1/auth/login//",
        b"/api/v1/auth/../../admin", b"/api/v1/auth/.", b"/api/v1/auth/..", b"/api/v1/tokens/../auth/login",
        b"/API/v1/auth/login", b"/api/V1/auth/login", b"/Account", b"/api/v1/auth;x/login", b"/api/v1/auth/login;x=1",
        b"/api/v1/auth\\login", b"/admin/", b"/metrics", b"/livez", b"/readyz", b"/api/v1/auth/caf\xc3\xa9",
    ],
)  # fmt: skip
def test_there_is_nothing_else(raw: bytes) -> None:
    assert route_of(raw.decode(), raw) is None


@pytest.mark.parametrize(
    ("raw", "decoded"),
    [
        (b"/api/v1/auth/%2e%2e/admin", "/api/v1/auth/../admin"),
        (b"/api/v1/auth/%2E/login", "/api/v1/auth/./login"),
        (b"/api/v1/auth%2flogin", "/api/v1/auth/login"),
        (b"/api/v1/%61uth/login", "/api/v1/auth/login"),
        (b"/api/v1/auth/%00", "/api/v1/auth/\0"),
        (b"/api/v1/auth/x%0d%0ay", "/api/v1/auth/x\r\ny"),
        (b"/api/v1/auth/%252e%252e/x", "/api/v1/auth/%2e%2e/x"),
        (b"/api/v1/auth/login%3bx", "/api/v1/auth/login;x"),
        (b"/api/v1/auth/%5c", "/api/v1/auth/\\"),
        (b"/api/v1/auth/login%3f", "/api/v1/auth/login?"),
        (b"/api/v1/auth/%ef%bc%8f", "/api/v1/auth/\uff0f"),
    ],
)
def test_what_needs_decoding_is_nowhere(raw: bytes, decoded: str) -> None:
    assert route_of(decoded, raw) is None


def test_where_the_services_are() -> None:
    assert origins(["auth=http://auth:8080", "token=https://t", "analytics=http://[::1]:1/"]) == {
        "auth": Origin("http", "auth", 8080),
        "token": Origin("https", "t", 443),
        "analytics": Origin("http", "::1", 1),
    }


@pytest.mark.parametrize(
    "word",
    ["analytics", "analytics=", "other=http://a", "analytics=ftp://a", "analytics=http://a/b", "analytics=http://u@a"],
)
def test_a_wrong_address_stops_the_start(word: str) -> None:
    with pytest.raises(ConfigurationError, match="GATEWAY_SERVICES"):
        origins(["auth=http://a", "token=http://a", word])
