"""``GET /v1/models`` and ``/v1/models/{id}``: what the caller's key may use. Free, so nothing is held.

Source: OpenAI API reference, "List models", "Retrieve model".
"""

from typing import TYPE_CHECKING, Any

import orjson

from apps.core.http.caller import INFERENCE
from gateway import errors
from gateway.control_plane import Model, Principal, Snapshot
from gateway.errors import JSON
from gateway.exchange import Exchange

if TYPE_CHECKING:
    from gateway.app import Gateway


async def list_models(gateway: "Gateway", exchange: Exchange) -> None:
    """All models that this key may use, by name.

    Raises:
        ApiError: 401 or 403.
    """
    principal = await gateway.authenticator.principal(exchange, INFERENCE)
    listed = [_shown(model) for model in _allowed(gateway.snapshot, principal)]
    await exchange.answer(200, (JSON,), orjson.dumps({"object": "list", "data": listed}))


async def retrieve_model(gateway: "Gateway", exchange: Exchange, name: str) -> None:
    """One model.

    Raises:
        ApiError: 401, 403, or 404 also for a model that this key may not use.
    """
    principal = await gateway.authenticator.principal(exchange, INFERENCE)
    model = next((model for model in _allowed(gateway.snapshot, principal) if model.name == name), None)
    if model is None:
        raise errors.model_not_found(name)
    await exchange.answer(200, (JSON,), orjson.dumps(_shown(model)))


def _allowed(snapshot: Snapshot, principal: Principal) -> list[Model]:
    models = sorted(snapshot.catalogue.models.values(), key=lambda model: model.name)
    allowed = principal.allowed_models
    return models if allowed is None else [model for model in models if model.name in allowed]


def _shown(model: Model) -> dict[str, Any]:
    return {"id": model.name, "object": "model", "created": model.created, "owned_by": model.provider}
