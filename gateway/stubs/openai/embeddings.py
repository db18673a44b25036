"""``POST /v1/embeddings``: unit vectors that depend on the input alone."""

import base64
import hashlib
import math
import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson
import toktok

from gateway.stubs.faults import Faults
from gateway.stubs.openai import errors, models
from gateway.stubs.openai.usage import embedding_usage, reported

DIMENSIONS = 1536
MAX_INPUTS = 2048

_CL100K = toktok._encoding("cl100k_base")  # noqa: SLF001 - as in gateway.stubs.words; embeddings use the older encoding


@dataclass(frozen=True, slots=True)
class EmbeddingCall:
    """A valid request."""

    model: models.Model
    inputs: list[str]
    """What each vector is made of."""
    prompt_tokens: int
    dimensions: int
    base64: bool
    usage: dict[str, Any] | None
    """What the answer reports; ``None``: nothing."""


def parse(fields: dict[str, Any], faults: Faults) -> EmbeddingCall:
    """Read a request.

    Raises:
        ApiError
    """
    model = models.find(fields, chat=False)
    inputs = _inputs(fields.get("input"))
    counts = [_tokens(one) for one in inputs]
    if max(counts) > model.context:
        raise errors.too_long(model.context, max(counts), "input")
    dimensions = fields.get("dimensions") or DIMENSIONS
    if not isinstance(dimensions, int) or not 1 <= dimensions <= DIMENSIONS:
        raise errors.invalid("dimensions", f"a whole number within 1 … {DIMENSIONS}")
    if fields.get("encoding_format") not in {None, "float", "base64"}:
        raise errors.invalid("encoding_format", "float or base64")
    return EmbeddingCall(
        model=model,
        inputs=[str(one) for one in inputs],
        prompt_tokens=sum(counts),
        dimensions=dimensions,
        base64=fields.get("encoding_format") == "base64",
        usage=reported(embedding_usage(sum(counts)), faults),
    )


def answer(call: EmbeddingCall) -> bytes:
    """The answer's body."""
    body: dict[str, Any] = {
        "object": "list",
        "data": [_entry(index, one, call) for index, one in enumerate(call.inputs)],
        "model": call.model.snapshot,
    }
    return orjson.dumps(body if call.usage is None else body | {"usage": call.usage})


@lru_cache(maxsize=512)
def vector(text: str, dimensions: int) -> tuple[float, ...]:
    """A unit vector. A shorter one is, as with the real model, the beginning of the longer one, normalised anew."""
    digest = hashlib.shake_256(text.encode("utf-8", "surrogatepass")).digest(2 * dimensions)
    numbers = struct.unpack(f"<{dimensions}h", digest)
    length = math.hypot(*numbers)
    return struct.unpack(f"<{dimensions}f", struct.pack(f"<{dimensions}f", *(number / length for number in numbers)))


def _entry(index: int, text: str, call: EmbeddingCall) -> dict[str, Any]:
    values = vector(text, call.dimensions)
    packed = struct.pack(f"<{len(values)}f", *values) if call.base64 else b""
    embedding = base64.b64encode(packed).decode() if call.base64 else values
    return {"object": "embedding", "index": index, "embedding": embedding}


def _inputs(given: object) -> list[str | list[int]]:
    """One text, one list of token numbers, or a list of either."""
    if given is None:
        raise errors.missing("input")
    many: list[Any] = given if isinstance(given, list) and not _is_tokens(given) else [given]
    if not 1 <= len(many) <= MAX_INPUTS or not all(_is_input(one) for one in many):
        raise errors.invalid("input", f"1 … {MAX_INPUTS} non-empty strings or arrays of token numbers")
    return many


def _is_input(given: object) -> bool:
    return bool(given) and (isinstance(given, str) or _is_tokens(given))


def _is_tokens(given: object) -> bool:
    return isinstance(given, list) and bool(given) and all(type(token) is int for token in given)


def _tokens(one: str | list[int]) -> int:
    return _CL100K.count(one) if isinstance(one, str) else len(one)
