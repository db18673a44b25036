"""Errors in OpenAI's shape and, where its wording is known, in its words."""

import orjson

SERVER_ERROR = {
    "message": "The server had an error while processing your request. Sorry about that!",
    "type": "server_error",
    "param": None,
    "code": None,
}


class ApiError(Exception):
    """An answer other than 2xx: ``{"error": {"message", "type", "param", "code"}}``."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.error = {"message": message, "type": kind, "param": param, "code": code}

    def body(self) -> bytes:
        """The JSON body."""
        return orjson.dumps({"error": self.error})


def no_key() -> ApiError:
    """No bearer token at all."""
    return ApiError(
        401,
        "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth "
        "(i.e. Authorization: Bearer YOUR_KEY).",
    )


def wrong_key(key: str) -> ApiError:
    """A bearer token that is not one of ours."""
    return ApiError(401, f"Incorrect API key provided: {key[:3]}***{key[-4:]}.", code="invalid_api_key")


def unknown_model(model: str) -> ApiError:
    """A model that does not exist, or not on this path."""
    message = f"The model `{model}` does not exist or you do not have access to it."
    return ApiError(404, message, code="model_not_found")


def no_such_url(method: str, path: str) -> ApiError:
    """A path, or a method on it, that does not exist."""
    return ApiError(404, f"Invalid URL ({method} {path})")


def unparsable() -> ApiError:
    """A body that is no JSON object."""
    return ApiError(400, "We could not parse the JSON body of your request. The OpenAI API expects a JSON payload.")


def missing(param: str) -> ApiError:
    """A parameter that must be there."""
    return ApiError(400, f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter")


def invalid(param: str, expected: str) -> ApiError:
    """A parameter of the wrong type or out of bounds."""
    return ApiError(400, f"Invalid value for '{param}': expected {expected}.", param=param, code="invalid_value")


def too_long(limit: int, tokens: int, param: str) -> ApiError:
    """More tokens than fit the model's context."""
    message = f"This model's maximum context length is {limit} tokens. However, you requested {tokens} tokens."
    return ApiError(400, message, param=param, code="context_length_exceeded")
