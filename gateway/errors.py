"""The gateway's error table: what each failure looks like to a client, in OpenAI's shape.

Client faults are 4xx, our outages 503, the provider's faults 502, 503 or 504; 429 means the caller's own limit and
nothing else. ``x-should-retry`` is on every answer from 400 up, because the official SDK obeys it before all.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

Header = tuple[bytes, bytes]
JSON = (b"content-type", b"application/json; charset=utf-8")


@dataclass(frozen=True, slots=True)
class Limit:
    """The limit that a call did not pass: what it is, and how far it was used when the call came.

    Amounts are tokens, or calls where the limit counts those; None where the limit has no such amount. ``held`` is what
    calls under way have set aside. ``passes_in_ms``: when this call would pass if nobody else called; None: not by
    waiting.
    """

    name: str
    value: int
    used: int | None
    held: int | None
    needed: int
    passes_in_ms: int | None = None

    def fields(self) -> dict[str, str | int | None]:
        """As clients and the stored trace have it."""
        return {
            "name": self.name, "value": self.value, "used": self.used, "held": self.held, "needed": self.needed,
            "passes_in_ms": self.passes_in_ms,
        }  # fmt: skip


@dataclass
class ApiError(Exception):
    """An answer from 400 up. ``retry_after_ms`` is sent only where waiting helps; ``limit`` only where one refused."""

    status: int
    code: str
    message: str
    type: str = "invalid_request_error"
    param: str | None = None
    retry_after_ms: int | None = None
    should_retry: bool = False
    headers: Sequence[Header] = field(default=())
    limit: Limit | None = None

    def body(self) -> bytes:
        """The JSON body."""
        return orjson.dumps({"error": self.fields()})

    def event(self) -> bytes:
        """The same as an event of a stream that has begun; the stream then ends without ``[DONE]``."""
        return b"data: " + self.body() + b"\n\n"

    def fields(self) -> dict[str, Any]:
        """``param`` and ``code`` are null, never the word None."""
        said: dict[str, Any] = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        if self.limit is not None:
            said["limit"] = self.limit.fields()
        return said

    def response_headers(self) -> list[Header]:
        """All headers of the answer but those that every answer carries."""
        headers = [JSON, (b"x-should-retry", b"true" if self.should_retry else b"false"), *self.headers]
        if self.retry_after_ms is not None:
            seconds = -(-self.retry_after_ms // 1000)
            headers.append((b"retry-after", b"%d" % seconds))
            headers.append((b"retry-after-ms", b"%d" % self.retry_after_ms))
        return headers


def bad_request(message: str, *, param: str | None = None, code: str = "invalid_value") -> ApiError:
    """400: the request itself is wrong."""
    return ApiError(400, code, message, param=param)


def unauthorized(message: str = "Incorrect API key provided.") -> ApiError:
    """401, the same for every kind of bad credential, so that nobody learns which it was."""
    return ApiError(401, "invalid_api_key", message, headers=((b"www-authenticate", b"Bearer"),))


def ambiguous_credentials() -> ApiError:
    """400: more than one credential was sent."""
    return ApiError(400, "ambiguous_credentials", "Send exactly one credential, in the Authorization header.")


def suspended() -> ApiError:
    """403: a good credential of an account that may not spend."""
    return ApiError(403, "account_suspended", "This account is suspended.", type="permission_error")


def not_a_member() -> ApiError:
    """403: the organisation that the request names is not one that this credential may let pay."""
    message = "This credential may not use the organization that the header OpenAI-Organization names."
    return ApiError(403, "not_a_member", message, type="permission_error")


def insufficient_scope(scope: str) -> ApiError:
    """403: a good credential that was not given this permission (RFC 6750, section 3.1)."""
    challenge = f'Bearer error="insufficient_scope", scope="{scope}"'.encode()
    message = f"This credential lacks the scope `{scope}`."
    return ApiError(
        403, "insufficient_scope", message, type="permission_error", headers=((b"www-authenticate", challenge),)
    )


def ip_not_allowed() -> ApiError:
    """403: a good credential, used from an address that it is not meant for."""
    message = "This credential may not be used from your address."
    return ApiError(403, "ip_not_allowed", message, type="permission_error")


def model_not_found(name: str) -> ApiError:
    """404: no such model here, or it is switched off."""
    return ApiError(
        404, "model_not_found", f"The model `{name[:100]}` does not exist or is not available.", param="model"
    )


def model_not_allowed(name: str) -> ApiError:
    """403: the key may not use this model."""
    return ApiError(403, "model_not_allowed", f"This API key may not use the model `{name}`.", param="model")


def model_not_priced(name: str) -> ApiError:
    """400: never free by accident."""
    return ApiError(400, "model_not_priced", f"The model `{name}` has no price in force.", param="model")


def too_expensive(needed: int, capacity: int) -> ApiError:
    """400: more than the bucket can ever hold, so waiting cannot help."""
    message = f"This call needs {needed} tokens; your tier's bucket holds {capacity}. Lower max_tokens or the prompt."
    return ApiError(400, "request_too_expensive", message)


def unavailable(message: str, *, code: str, retry_after_ms: int = 2000) -> ApiError:
    """503: we, or the provider, cannot serve now. Never 429, which would blame the caller."""
    return ApiError(503, code, message, type="server_error", retry_after_ms=retry_after_ms, should_retry=True)


def quota_unavailable() -> ApiError:
    """503: a store that admission needs does not answer; closed, not open."""
    return unavailable("The quota store is not available. No tokens were spent.", code="quota_unavailable")


def conflict(code: str, message: str, *, retry_after_ms: int | None = None) -> ApiError:
    """409: another request stands in the way; ``retry_after_ms`` where that passes."""
    return ApiError(
        409, code, message, retry_after_ms=retry_after_ms, should_retry=retry_after_ms is not None,
    )  # fmt: skip


def bad_gateway(code: str, message: str, *, should_retry: bool = True) -> ApiError:
    """502: the provider failed."""
    return ApiError(502, code, message, type="upstream_error", should_retry=should_retry)


def upstream_timeout() -> ApiError:
    """504: the provider did not answer within its deadline."""
    return ApiError(
        504, "upstream_timeout", "The provider did not answer in time.", type="upstream_error", should_retry=True
    )


def internal() -> ApiError:
    """503 for a fault of ours that nobody foresaw; its traceback is in the log under the request id."""
    return unavailable("The gateway could not handle the request.", code="internal_error")
