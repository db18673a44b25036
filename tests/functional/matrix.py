"""Who may do what: one row per route, written down independently of the code. A route without a row fails the suite.

A caller is somebody (their place in organisation 1) with some credential. What a row says of people holds for every
credential that the route takes: a first-party token, an application's token, a key with every scope, a key with the
usual scopes only.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.functional.people import JWT, KEY, KINDS, OAUTH2

EVERYBODY = frozenset({"owner", "admin", "member", "stranger", "operator"})
MEMBERS = frozenset({"owner", "admin", "member", "operator"})
MANAGERS = frozenset({"owner", "admin", "operator"})
OWNERS = frozenset({"owner", "operator"})

ALL_KINDS = frozenset(KINDS)
WIDE = frozenset({JWT, OAUTH2, KEY})
"""Credentials that may manage keys and organisations: a key with the usual scopes may not."""
PASSWORD = frozenset({JWT})
"""What only somebody may do who signed in by password."""

OK = "ok"
"""Not a refusal for want of right: 2xx, or a 400 or 409 about what was sent."""


@dataclass(frozen=True, slots=True)
class Row:
    """``people`` may with ``kinds``; members who may not get 403, strangers ``stranger``, nobody 401.

    ``path``, ``query`` and ``body`` may name things of organisation 1 in braces; ``fresh`` names those that are made
    anew for each call, because a permitted call uses them up. ``others`` are people for whom the answer is another.
    """

    people: frozenset[str] = EVERYBODY
    kinds: frozenset[str] = ALL_KINDS
    others: Mapping[str, int] = field(default_factory=dict)
    query: str = ""
    body: Mapping[str, Any] | None = None
    fresh: tuple[str, ...] = field(default=())

    def expected(self, who: str, kind: str) -> int | str:
        """A status, or :data:`OK`."""
        if kind not in self.kinds:
            return 403
        if who in self.people:
            return OK
        return self.others.get(who, 404 if who == "stranger" else 403)


@dataclass(frozen=True, slots=True)
class Public:
    """The same answer for everybody, whoever asks."""

    status: int
    body: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Protocol:
    """A page or an OAuth2 endpoint: no credential of the API lets anybody in.

    ``status`` is what GET answers to all of them alike; ``path`` is what is asked for where the route has no plain one.
    """

    status: int
    path: str = ""


AUTH, ORG = "/api/v1/auth", "/api/v1/orgs/{org_id}"
OWN = Row(kinds=PASSWORD)

ROWS: dict[str, Row | Public | Protocol] = {
    f"POST {AUTH}/register": Public(400, {}),
    f"POST {AUTH}/login": Public(401, {}),
    f"POST {AUTH}/refresh": Public(400, {}),
    f"POST {AUTH}/password-reset": Public(400, {}),
    f"POST {AUTH}/password-reset/confirm": Public(400, {}),
    f"POST {AUTH}/verify-email": Public(400, {}),
    f"GET {AUTH}/api-keys/validate": Public(401),
    f"GET {AUTH}/me": Row(),
    f"POST {AUTH}/logout": Row(kinds=PASSWORD, fresh=("token",)),
    f"POST {AUTH}/password": Row(kinds=PASSWORD, body={}),
    f"POST {AUTH}/verify-email/resend": OWN,
    f"GET {AUTH}/sessions": OWN,
    f"DELETE {AUTH}/sessions/{{session_id}}": Row(frozenset(), PASSWORD, dict.fromkeys(EVERYBODY, 404)),
    f"GET {AUTH}/api-keys": Row(kinds=WIDE, query="?userId={own_id}"),
    f"POST {AUTH}/api-keys": Row(kinds=WIDE, body={"userId": "{own_id}", "name": "matrix"}),
    f"DELETE {AUTH}/api-keys": Row(kinds=WIDE, query="?userId={own_id}&apiKeyId={own_key}"),
    f"GET {AUTH}/api-keys/{{key_id}}": Row(MANAGERS, WIDE, {"member": 404}),
    f"PATCH {AUTH}/api-keys/{{key_id}}": Row(MANAGERS, WIDE, {"member": 404}, body={"name": "matrix"}),
    f"POST {AUTH}/api-keys/{{key_id}}/rotate": Row(OWNERS, WIDE, {"member": 404}, fresh=("key_id",), body={}),
    "GET /api/v1/orgs": Row(),
    "POST /api/v1/orgs": Row(kinds=WIDE, body={}),
    f"GET {ORG}": Row(MEMBERS),
    f"PATCH {ORG}": Row(MANAGERS, WIDE, body={"name": "Matrix"}),
    f"GET {ORG}/members": Row(MEMBERS, WIDE),
    f"PATCH {ORG}/members/{{user_id}}": Row(OWNERS, WIDE, body={"role": "admin"}, fresh=("user_id",)),
    f"DELETE {ORG}/members/{{user_id}}": Row(MANAGERS, WIDE, fresh=("user_id",)),
    f"GET {ORG}/limits": Row(MANAGERS, WIDE),
    f"GET {ORG}/members/{{user_id}}/limits": Row(MANAGERS, WIDE, fresh=("user_id",)),
    f"PUT {ORG}/members/{{user_id}}/limits": Row(
        MANAGERS, WIDE, body={"window": "day", "tokens": 1000}, fresh=("user_id",)
    ),
    f"DELETE {ORG}/members/{{user_id}}/limits": Row(MANAGERS, WIDE, fresh=("user_id",)),
    f"POST {ORG}/leave": Row(MEMBERS - {"operator"}, WIDE, {"operator": 404}, fresh=("org_id",)),
    f"GET {ORG}/invitations": Row(MANAGERS, WIDE),
    f"POST {ORG}/invitations": Row(MANAGERS, WIDE, body={"email": "{address}"}),
    f"DELETE {ORG}/invitations/{{invitation_id}}": Row(MANAGERS, WIDE, fresh=("invitation_id",)),
    "POST /api/v1/invitations/accept": Row(kinds=WIDE, body={}),
    f"GET {ORG}/service-accounts": Row(MANAGERS, WIDE),
    f"POST {ORG}/service-accounts": Row(MANAGERS, WIDE, body={"name": "matrix"}),
    f"DELETE {ORG}/service-accounts/{{service_id}}": Row(MANAGERS, WIDE, fresh=("service_id",)),
    f"GET {ORG}/service-accounts/{{service_id}}/api-keys": Row(MANAGERS, WIDE, fresh=("service_id",)),
    f"POST {ORG}/service-accounts/{{service_id}}/api-keys": Row(
        MANAGERS, WIDE, body={"name": "matrix"}, fresh=("service_id",)
    ),
    f"GET {ORG}/api-keys": Row(MANAGERS, WIDE),
    f"DELETE {ORG}/api-keys/{{key_id}}": Row(MANAGERS, WIDE, fresh=("key_id",)),
    "GET /api/v1/audit": Row(MANAGERS, WIDE, query="?orgId={org_id}"),
    "* /v3/api-docs": Protocol(200),
    "* /api/schema/": Protocol(200),
    "* /swagger-ui.html": Protocol(200),
    "* /redoc": Protocol(200),
    "* /oauth2/authorize": Protocol(400),
    "* /oauth2/token": Protocol(405),
    "* /oauth2/revoke": Protocol(405),
    "* /oauth2/introspect": Protocol(405),
    "* /oauth2/userinfo": Protocol(401),
    "* /oauth2/logout": Protocol(303),
    "* /oauth2/jwks": Protocol(200),
    "* /.well-known/jwks.json": Protocol(200),
    "* /.well-known/openid-configuration": Protocol(200),
    "* /.well-known/oauth-authorization-server": Protocol(200),
    "* /account": Protocol(302),
    "* /account/sign-in": Protocol(200),
    "* /account/sign-out": Protocol(200),
    "* /account/sign-up": Protocol(200),
    "* /account/forgot": Protocol(200),
    "* /account/reset": Protocol(200),
    "* /account/verify": Protocol(200),
    "* /account/resend": Protocol(405),
    "* /account/password": Protocol(302),
    "* /account/invitation": Protocol(302),
    "* /account/sessions/end": Protocol(405),
    "* /account/sessions/{session_id}/end": Protocol(405),
    "* /account/applications/{client_id}/disconnect": Protocol(405),
    "* /account^(/.*)?$": Protocol(404, "/account/nowhere"),
}
