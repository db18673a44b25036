"""The messages of a chat request: an allow-list at every depth, so that no field reaches a provider unseen."""

from typing import Any
from urllib.parse import urlsplit

from gateway.dialects.openai.fields import (
    Check,
    array,
    check_fields,
    one_of,
    optional,
    record,
    refuse,
    text,
)
from gateway.errors import bad_request

MAX_MESSAGES = 10_000
MAX_TEXT = 10_000_000
ROLES = ("system", "developer", "user", "assistant", "tool", "function")

_TEXT = text(MAX_TEXT)
_NAME = text(256)


def _image_url(value: Any, param: str) -> None:
    """``https:`` and ``data:`` pass. The provider fetches, never we; other schemes would reach into its network."""
    _TEXT(value, param)
    if value.startswith("data:"):
        return
    parts = urlsplit(value)
    if parts.scheme != "https" or not parts.hostname or parts.username is not None:
        refuse(param, "an https: or data: URL")


_PARTS: dict[str, Check] = {
    "text": record({"type": one_of("text"), "text": _TEXT}, required=("text",)),
    "refusal": record({"type": one_of("refusal"), "refusal": _TEXT}, required=("refusal",)),
    "image_url": record(
        {
            "type": one_of("image_url"),
            "image_url": record({"url": _image_url, "detail": one_of("auto", "low", "high")}, required=("url",)),
        },
        required=("image_url",),
    ),
    "input_audio": record(
        {
            "type": one_of("input_audio"),
            "input_audio": record({"data": _TEXT, "format": one_of("wav", "mp3")}, required=("data", "format")),
        },
        required=("input_audio",),
    ),
}


def _part(value: Any, param: str) -> None:
    kind = value.get("type") if isinstance(value, dict) else None
    check = _PARTS.get(kind) if isinstance(kind, str) else None
    if check is None:
        refuse(f"{param}.type", ", ".join(f"'{name}'" for name in _PARTS))
    check(value, param)


_content_parts = array(_part, minimum=1, maximum=2048)


def _content(value: Any, param: str) -> None:
    if isinstance(value, str):
        return
    if not isinstance(value, list):
        refuse(param, "a string or an array of content parts")
    _content_parts(value, param)


_CALL = record({"name": _NAME, "arguments": _TEXT}, required=("name", "arguments"))
_TOOL_CALL = record({"id": _NAME, "type": one_of("function"), "function": _CALL}, required=("id", "type", "function"))
_MESSAGE_FIELDS: dict[str, Check] = {
    "role": one_of(*ROLES),
    "content": optional(_content),
    "name": _NAME,
    "refusal": optional(_TEXT),
    "tool_calls": array(_TOOL_CALL, minimum=1, maximum=1024),
    "tool_call_id": _NAME,
    "function_call": optional(_CALL),
    "audio": optional(record({"id": _NAME}, required=("id",))),
}


def _message(value: Any, param: str) -> None:
    if not isinstance(value, dict):
        refuse(param, "an object")
    if len(value) == 2 and value.get("role") in ROLES and isinstance(value.get("content"), str):
        return  # nearly all messages are this and no more
    check_fields(value, _MESSAGE_FIELDS, ("role",), param)
    speaks = any(value.get(field) for field in ("tool_calls", "function_call", "refusal", "audio"))
    if value.get("content") is None and not (value["role"] == "assistant" and speaks):
        refuse(f"{param}.content", "a string or an array of content parts")


def check_messages(value: Any, param: str) -> None:
    """1 to 10,000 messages of known roles, each with content (or calls, for an assistant's).

    Raises:
        ApiError: 400 that names the field, such as ``messages[3].role``.
    """
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_MESSAGES:
        raise bad_request(f"'{param}' must be an array of 1 to {MAX_MESSAGES} messages.", param=param)
    for index, message in enumerate(value):
        _message(message, f"{param}[{index}]")
