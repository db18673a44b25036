"""Tokens that nobody may come in with, each wrong in one way (RELIABILITY.md section 4.1, S3 to S7).

Made anew from a good token's claims and the key that signs it: everything but the one fault is right.
"""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from joserfc.jwk import RSAKey

Claims = dict[str, Any]
Header = dict[str, Any]

DAY = 86_400
"""Seconds: the tokens of a session of tests are made at its beginning."""


def encode(part: bytes | str | Mapping[str, Any]) -> str:
    """A JWT's segment. Written by json, which also writes NaN."""
    raw = json.dumps(part).encode() if isinstance(part, Mapping) else part.encode() if isinstance(part, str) else part
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def good_claims(issuer: str, audience: str, **others: Any) -> Claims:
    """Claims of a first-party access token that is in force now."""
    now = int(time.time())
    return {
        "iss": issuer, "aud": audience, "sub": str(uuid4()), "sid": str(uuid4()), "jti": uuid4().hex,
        "iat": now, "exp": now + 3600, "tv": 0, "roles": ["USER"], **others,
    }  # fmt: skip


class Forger:
    """Somebody who has the signing key, a good token's claims, and one bad idea at a time."""

    def __init__(self, key: RSAKey, claims: Claims) -> None:
        self._key = key
        self._claims = claims
        self.subject = str(claims.get("sub"))

    def token(self, header: Mapping[str, Any] | None = None, **claims: Any) -> str:
        """Properly signed, with these claims and this header in place of the good ones; ``...`` leaves one out."""
        head = _without({"alg": "RS256", "typ": "at+jwt", "kid": str(self._key.kid), **(header or {})})
        return self._signed(f"{encode(head)}.{encode(_without({**self._claims, **claims}))}")

    def bad(self) -> dict[str, str]:
        """All of them, by what is wrong."""
        return {
            **{f"alg {name}": token for name, token in self._algorithms().items()},
            **{f"header {name}": token for name, token in self._headers().items()},
            **{f"claim {name}": token for name, token in self._claims_gone_wrong().items()},
            **{f"form {name}": token for name, token in self._forms().items()},
        }

    def _algorithms(self) -> dict[str, str]:
        return {
            **{f"{name!r} unsigned": self._unsigned(name) for name in ("none", "None", "nOnE", "NONE", "")},
            **{f"{name!r} signed": self.token({"alg": name}) for name in ("none", "rs256", "RS384", "PS256", "ES256")},
            **{f"HS256 with {name}": self._hmac("HS256", secret) for name, secret in self._public_forms().items()},
            "HS512 with PEM": self._hmac("HS512", self._public_forms()["PEM"]),
            "missing": self.token({"alg": ...}),
            "a list": self.token({"alg": ["RS256"]}),
            "null": self.token({"alg": None}),
            "RS384 rightly signed": self._signed_384(),
        }

    def _headers(self) -> dict[str, str]:
        own = {"kty": "RSA", "n": "AQAB", "e": "AQAB"}
        kids = {
            "path": "../../dev/null", "SQL": "' OR 1=1 --", "10 KB": "k" * 10_240, "NUL": "\0", "int": 7,
            "list": [str(self._key.kid)], "object": {"kid": self._key.kid}, "null": None, "empty": "", "missing": ...,
            "unknown": uuid4().hex, "with a space": f"{self._key.kid} ", "a URL": "https://evil.example/key",
        }  # fmt: skip
        types = {
            "JWT": "JWT", "refresh": "rt+jwt", "id": "id+jwt", "internal": "int+jwt", "long": "application/at+jwt",
            "upper case": "AT+JWT", "missing": ..., "a list": ["at+jwt"],
        }  # fmt: skip
        additions = {
            "jku": "https://evil.example/jwks", "x5u": "https://evil.example/cert", "jwk": own, "x5c": ["MIIB"],
            "crit": ["exp"], "b64": False, "zip": "DEF", "cty": "JWT", "exp": 1,
        }  # fmt: skip
        return {
            **{f"kid {name}": self.token({"kid": kid}) for name, kid in kids.items()},
            **{f"typ {name}": self.token({"typ": type_}) for name, type_ in types.items()},
            **{name: self.token({name: value}) for name, value in additions.items()},
        }

    def _claims_gone_wrong(self) -> dict[str, str]:
        now, issuer, audience = int(time.time()), str(self._claims["iss"]), str(self._claims["aud"])
        wrong: dict[str, dict[str, Any]] = {
            "aud": {"another's": "other", "of others": ["other", audience.upper()], "prefix": audience[:-1], "int": 1},
            "iss": {"list": [issuer], "longer": issuer + "x", "slash": issuer + "/", "prefix": issuer[:-1], "int": 1},
            "exp": {"past": now - 1, "text": str(now + 60), "float": now + 60.5, "NaN": float("nan"), "true": True},
            "nbf": {"future": now + DAY, "text": "0"},
            "iat": {"future": now + DAY, "text": str(now)},
            "sub": {"no UUID": "admin", "int": 1, "null": None, "SQL": "' OR 1=1 --", "list": [self._claims["sub"]]},
            "tv": {"text": "0", "true": True, "float": 0.0, "null": None},
            "sid": {"int": 1, "null": None},
            "jti": {"int": 1},
        }  # fmt: skip
        gone: list[dict[str, Any]] = [{name: ...} for name in wrong if name != "nbf"]
        missing = {f"{name} missing": self.token(**claim) for claim in gone for name in claim}
        infinite = {"exp infinite": self.token(exp=float("inf")), "exp beyond all time": self.token(exp=10**30)}
        return {
            **{
                f"{name} {how}": self.token(**{name: value})
                for name, ways in wrong.items()
                for how, value in ways.items()
            },
            **missing,
            **infinite,
        }

    def _forms(self) -> dict[str, str]:
        good = self.token()
        header, claims, signature = good.split(".")
        return {
            "truncated": good[:-1],
            "half": good[: len(good) // 2],
            "no signature": f"{header}.{claims}.",
            "two segments": f"{header}.{claims}",
            "four segments": f"{good}.{signature}",
            "five segments": f"{good}.x.y",
            "empty segments": "..",
            "not base64": f"{header}.{claims}.{signature[:-4]}!!!!",
            "header not JSON": self._signed(f"{encode('nothing')}.{claims}"),
            "header a list": self._signed(f"{encode('[]')}.{claims}"),
            "claims not JSON": self._signed(f"{header}.{encode('nothing')}"),
            "claims a list": self._signed(f"{header}.{encode('[1]')}"),
            "claims nested": self._signed(f"{header}.{encode('[' * 3000)}"),
            "other's claims": f"{header}.{encode({**self._claims, 'sub': str(uuid4())})}.{signature}",
            "9 KB": self.token(padding="x" * 9_000),
            "JSON": json.dumps({"protected": header, "payload": claims, "signature": signature}).replace(" ", ""),
            "another's key": Forger(_stranger(str(self._key.kid)), self._claims).token(),
            "signature of zeros": f"{header}.{claims}.{encode(bytes(256))}",
        }

    def _public_forms(self) -> dict[str, bytes]:
        """The public key as everybody can get it: what a verifier that confuses algorithms takes for a secret."""
        pem = self._key.as_pem(private=False)
        return {
            "PEM": pem,
            "PEM stripped": pem.strip(),
            "PEM with CRLF": pem.replace(b"\n", b"\r\n"),
            "PEM on one line": pem.replace(b"\n", b""),
            "DER": self._key.as_der(private=False),
            "JWK": json.dumps(self._key.as_dict(private=False)).encode(),
            "nothing": b"",
        }

    def _unsigned(self, algorithm: str) -> str:
        return f"{encode({'alg': algorithm, 'typ': 'at+jwt', 'kid': self._key.kid})}.{encode(self._claims)}."

    def _hmac(self, algorithm: str, secret: bytes) -> str:
        signed = f"{encode({'alg': algorithm, 'typ': 'at+jwt', 'kid': self._key.kid})}.{encode(self._claims)}"
        digest: Callable[..., Any] = hashlib.sha256 if algorithm == "HS256" else hashlib.sha512
        return f"{signed}.{encode(hmac.new(secret, signed.encode(), digest).digest())}"

    def _signed(self, text: str) -> str:
        return f"{text}.{encode(_rs(text.encode(), self._key, 'SHA256'))}"

    def _signed_384(self) -> str:
        text = f"{encode({'alg': 'RS384', 'typ': 'at+jwt', 'kid': self._key.kid})}.{encode(self._claims)}"
        return f"{text}.{encode(_rs(text.encode(), self._key, 'SHA384'))}"


def _rs(text: bytes, key: RSAKey, hash_name: str) -> bytes:
    algorithm = hashes.SHA256() if hash_name == "SHA256" else hashes.SHA384()
    private = key.private_key
    assert private is not None
    return private.sign(text, padding.PKCS1v15(), algorithm)


def _stranger(kid: str) -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": kid}, private=True, auto_kid=False)


def _without(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not ...}
