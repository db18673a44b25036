"""The operations of the OpenAI dialect as values: what to check, what to count, where to send it."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.dialects.openai import chat, embeddings
from gateway.dialects.openai.fields import Check, check_required, unknown
from gateway.estimate import Prompt

Body = dict[str, Any]


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
        for name, value in body.items():
            check = self.structure.get(name)
            if check is None:
                if not allows(name):
                    raise unknown(name)
                check = self.parameters.get(name, _unread)
            check(value, name)
        check_required(body, self.required, "")
        self.check_combinations(body)


def _unread(_value: Any, _param: str) -> None:
    """A parameter that operators let pass and we know nothing of."""


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
    prompt=chat.prompt,
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
