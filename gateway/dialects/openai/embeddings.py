"""``POST /v1/embeddings``: the request's parameters.

Source: OpenAI API reference, "Create embeddings".
"""

from typing import Any

from gateway.dialects.openai.fields import Check, integer, one_of, refuse, text

MAX_INPUTS = 2048
MAX_TOKEN_ID = 2**31 - 1


def _input(value: Any, param: str) -> None:
    if isinstance(value, str) and value:
        return
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_INPUTS:
        refuse(param, f"a non-empty string, or an array of 1 to {MAX_INPUTS} of them, or of token arrays")
    if all(isinstance(item, str) and item for item in value) or _is_token_array(value):
        return
    if not all(isinstance(item, list) and item and _is_token_array(item) for item in value):
        refuse(param, "strings, or arrays of token ids, not both")


def _is_token_array(value: list[Any]) -> bool:
    return all(isinstance(item, int) and not isinstance(item, bool) and 0 <= item <= MAX_TOKEN_ID for item in value)


STRUCTURE: dict[str, Check] = {"model": text(256), "input": _input}
PARAMETERS: dict[str, Check] = {
    "encoding_format": one_of("float", "base64"),
    "dimensions": integer(1, 65_536),
    "user": text(512),
}
REQUIRED = ("model", "input")


def texts(body: dict[str, Any]) -> list[str]:
    """The strings to embed; empty when token ids were sent."""
    value = body["input"]
    if isinstance(value, str):
        return [value]
    return [item for item in value if isinstance(item, str)]


def token_ids(body: dict[str, Any]) -> int:
    """How many token ids were sent: they are counted already."""
    value = body["input"]
    if isinstance(value, str):
        return 0
    return sum(len(item) if isinstance(item, list) else isinstance(item, int) for item in value)
