"""The OpenAPI document: what Django REST framework's views declare, and what is described by hand beside this file.

By hand are the gateway's model surface, which Django never sees, and the OAuth2 endpoints, which have the library's
views. It does not depend on which services a process serves, so any of them can show the whole.
"""

import hashlib
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import yaml
from drf_spectacular.generators import SchemaGenerator

ROUTES = "leaky_tokens.api_urls"
FRAGMENTS = ("services", "models", "oauth")
METHODS = frozenset({"get", "put", "post", "delete", "options", "head", "patch", "trace"})

ALWAYS = {
    "400": "BadRequest",
    "401": "Unauthorized",
    "403": "Forbidden",
    "431": "HeadersTooLarge",
    "503": "ServiceUnavailable",
    "504": "ServiceTimeout",
}
"""What the gateway may answer on every route under ``/api``, open ones too: it judges a credential that is sent."""

WITH_BODY = {"408": "SlowBody", "413": "TooLarge", "415": "NotJson"}

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rendered:
    """The document as it goes over the wire, and a tag that changes with it."""

    json: bytes
    yaml: bytes
    etag: str


@cache
def rendered() -> Rendered:
    """The document in both forms. Made once per process: it takes a few tenths of a second."""
    document = build()
    text = orjson.dumps(document)
    written = yaml.safe_dump(orjson.loads(text), sort_keys=False, allow_unicode=True).encode()
    return Rendered(text, written, f'"{hashlib.sha256(text).hexdigest()[:32]}"')


def build() -> Document:
    """The document, with paths and tags sorted."""
    generator: Any = SchemaGenerator(urlconf=ROUTES)  # type: ignore[no-untyped-call]
    document: Document = orjson.loads(orjson.dumps(generator.get_schema(request=None, public=True), default=str))
    for _path, _method, operation in operations(document):
        _add_gateway(operation)
    for name in FRAGMENTS:
        _merge(document, _fragment(name))
    document["servers"] = [{"url": "/"}]
    document["paths"] = dict(sorted(document["paths"].items()))
    document["tags"] = sorted(document["tags"], key=lambda tag: str(tag["name"]).lower())
    return document


def operations(document: Document) -> Iterator[tuple[str, str, Document]]:
    """Path, method in lower case, and description of each operation."""
    for path, item in document["paths"].items():
        for method in METHODS & set(item):
            yield path, method, item[method]


def _add_gateway(operation: Document) -> None:
    """What a view says of a status itself counts."""
    refusals = ALWAYS | (WITH_BODY if "requestBody" in operation else {})
    common = {status: {"$ref": f"#/components/responses/{name}"} for status, name in refusals.items()}
    operation["responses"] = dict(sorted((common | operation["responses"]).items()))


def _fragment(name: str) -> Document:
    read: Document = yaml.safe_load(Path(__file__).with_name(f"{name}.yaml").read_text(encoding="utf-8"))
    return deepcopy(read)  # YAML's aliases are one object in many places


def _merge(document: Document, fragment: Document) -> None:
    """Add a fragment; a name that is there already is a mistake of ours.

    Raises:
        ValueError: naming it.
    """
    document.setdefault("tags", []).extend(fragment["tags"])
    _add(document["paths"], fragment.get("paths", {}))
    for kind, named in fragment["components"].items():
        _add(document["components"].setdefault(kind, {}), named)


def _add(known: Document, added: Document) -> None:
    if both := sorted(set(known) & set(added)):
        raise ValueError(f"described twice: {', '.join(both)}")
    known.update(added)
