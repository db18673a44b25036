"""The operations of the OpenAI dialect as values: what to check, what to count, where to send it."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.dialects.openai import chat, embeddings
from gateway.dialects.openai.fields import Check, check_fields, unknown
from gateway.estimate import Prompt

Body = dict[str, Any]

_OPAQUE = ("tools", "functions", "response_format")


@dataclass(frozen=True, slots=True)
class Operation:
    """One path of the surface. ``kind`` is that of the models it takes."""

    name: str
    kind: str
    upstream_path: str
    structure: Mapping[str, Check]
    parameters: Mapping[str, Check]
    required: Collection[str]
    check_combinations: Callable[[Body], None]
    prompt: Callable[[Body], Prompt]
    output_cap: Callable[[Body], int | None]
    choices: Callable[[Body], int]

    def check(self, body: Body, allows: Callable[[str], bool]) -> None:
        """Hold the body against the tables. A parameter that the provider's allow-list does not name is unknown.

        Raises:
            ApiError: 400 that names the field.
        """
        for name in body:
            if name not in self.structure and not allows(name):
                raise unknown(name)
        structural = {name: value for name, value in body.items() if name in self.structure}
        check_fields(structural, self.structure, self.required, "")
        for name, value in body.items():
            if check := self.parameters.get(name):
                check(value, name)
        self.check_combinations(body)


def _chat_prompt(body: Body) -> Prompt:
    return Prompt(
        texts=tuple(chat.texts(body)),
        messages=len(body["messages"]),
        names=chat.names(body),
        opaque_bytes=0 if chat.is_plain_text(body) else _opaque_bytes(body),
        media=chat.images(body),
    )


def _opaque_bytes(body: Body) -> int:
    """Bytes of what providers turn into prompt by rules of their own: a token is a byte at least, so they bound it."""
    calls = [message["tool_calls"] for message in body["messages"] if message.get("tool_calls")]
    return sum(len(orjson.dumps(part)) for part in [*(body[f] for f in _OPAQUE if body.get(f)), *calls])


def _embedding_prompt(body: Body) -> Prompt:
    return Prompt(texts=tuple(embeddings.texts(body)), counted=embeddings.token_ids(body))


CHAT = Operation(
    name="chat.completions",
    kind="chat",
    upstream_path="/chat/completions",
    structure=chat.STRUCTURE,
    parameters=chat.PARAMETERS,
    required=chat.REQUIRED,
    check_combinations=chat.check_combinations,
    prompt=_chat_prompt,
    output_cap=chat.output_cap,
    choices=chat.choices,
)
EMBEDDINGS = Operation(
    name="embeddings",
    kind="embedding",
    upstream_path="/embeddings",
    structure=embeddings.STRUCTURE,
    parameters=embeddings.PARAMETERS,
    required=embeddings.REQUIRED,
    check_combinations=lambda _body: None,
    prompt=_embedding_prompt,
    output_cap=lambda _body: 0,
    choices=lambda _body: 1,
)
