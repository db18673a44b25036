"""The models on offer, and the answers of ``/v1/models``."""

from dataclasses import dataclass
from typing import Any

from gateway.stubs.openai import errors


@dataclass(frozen=True, slots=True)
class Model:
    """A model as OpenAI lists it. Sizes in tokens."""

    id: str
    snapshot: str
    """The dated name under which it signs its answers."""
    created: int
    context: int
    max_output: int
    """0: makes embeddings."""


MODELS = {
    model.id: model
    for model in (
        Model("gpt-4o-mini", "gpt-4o-mini-2024-07-18", 1721172741, 128_000, 16_384),
        Model("gpt-4o", "gpt-4o-2024-08-06", 1715367049, 128_000, 16_384),
        Model("text-embedding-3-small", "text-embedding-3-small", 1705948997, 8_192, 0),
    )
}


def find(fields: dict[str, Any], *, chat: bool) -> Model:
    """The model that a request names.

    Raises:
        ApiError: none named, unknown, or of the other sort.
    """
    name = fields.get("model")
    if not isinstance(name, str) or not name:
        raise errors.missing("model")
    model = MODELS.get(name)
    if model is None or bool(model.max_output) is not chat:
        raise errors.unknown_model(name)
    return model


def listing() -> dict[str, Any]:
    """All models."""
    return {"object": "list", "data": [_entry(model) for model in MODELS.values()]}


def single(name: str) -> dict[str, Any]:
    """One model.

    Raises:
        ApiError: unknown.
    """
    if name not in MODELS:
        raise errors.unknown_model(name)
    return _entry(MODELS[name])


def _entry(model: Model) -> dict[str, Any]:
    return {"id": model.id, "object": "model", "created": model.created, "owned_by": "system"}
