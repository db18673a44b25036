"""From a checked request to what it may cost: model, price, cap, bound. No I/O; refusals here have touched nothing."""

from datetime import datetime
from typing import Any

import msgspec

from apps.core.units import MILLI, Usage, weigh
from gateway import errors, strict_json
from gateway.control_plane import Model, Price, Principal, Provider, Snapshot, Tier
from gateway.dialects.openai.operations import Body, Operation
from gateway.errors import ApiError, bad_request
from gateway.estimate import Estimate, default_cap, estimate, prompt_tokens
from gateway.tokenizer import Count, counter

MODEL_NAME_LIMIT = 256


class Plan(msgspec.Struct, frozen=True):
    """A call that may be admitted. ``body`` is what goes upstream, written anew from what was checked.

    ``held`` tokens are held at first: the whole bound, or less where the hold grows, by ``step`` tokens at a time.
    """

    principal: Principal
    operation: Operation
    model: Model
    provider: Provider
    price: Price
    tier: Tier
    bound: Estimate
    held: int
    step: int
    body: bytes
    streamed: bool
    asked_usage: bool

    def cost(self, usage: Usage) -> int:
        """Tokens that a usage costs at this call's price."""
        return weigh(usage, self.price.weights)

    def count(self) -> Count | None:
        """The model's tokenizer, if we have it."""
        return counter(self.model.encoding)


def plan_call(snapshot: Snapshot, principal: Principal, operation: Operation, body: Body, now: datetime) -> Plan:
    """Check the request against what may be called, and bound its cost.

    Raises:
        ApiError: 400, 403 or 404; nothing has been held or poured.
    """
    model = find_model(snapshot, principal, operation, body)
    provider = snapshot.catalogue.providers[model.provider]
    operation.check(body, provider.allows)
    price = model.price_at(now)
    if price is None:
        raise errors.model_not_priced(model.name)
    tier = snapshot.tiers[principal.tier]
    bound = _bound(operation, model, price, tier, body)
    streamed = bool(body.get("stream"))
    held, step = _held_at_first(bound, tier, price) if streamed else (bound.tokens, 0)
    return Plan(
        principal, operation, model, provider, price, tier, bound, held, step,
        body=_upstream_body(operation, model, body, bound),
        streamed=streamed,
        asked_usage=bool((body.get("stream_options") or {}).get("include_usage")),
    )  # fmt: skip


def find_model(snapshot: Snapshot, principal: Principal, operation: Operation, body: Body) -> Model:
    """The model that the request names.

    Raises:
        ApiError: 400 not a name, 404 unknown or of another kind, 403 not for this key.
    """
    name = body.get("model")
    if not isinstance(name, str) or not 0 < len(name) <= MODEL_NAME_LIMIT:
        raise bad_request("You must provide a model parameter: a string.", param="model")
    model = snapshot.catalogue.models.get(name)
    if model is None or model.kind != operation.kind:
        raise errors.model_not_found(name)
    if principal.allowed_models is not None and name not in principal.allowed_models:
        raise errors.model_not_allowed(name)
    return model


def _bound(operation: Operation, model: Model, price: Price, tier: Tier, body: Body) -> Estimate:
    prompt = prompt_tokens(operation.prompt(body), counter(model.encoding))
    if prompt > model.context_window:
        raise _context_exceeded(prompt, model)
    choices = operation.choices(body)
    cap = _output_cap(operation, model, price, tier, body, prompt)
    bound = estimate(prompt=prompt, output=cap, choices=choices, weights=price.weights)
    if bound.tokens > tier.bucket_capacity:
        raise errors.too_expensive(bound.tokens, tier.bucket_capacity)
    return bound


def _held_at_first(bound: Estimate, tier: Tier, price: Price) -> tuple[int, int]:
    """What a stream's hold begins with, and by how many tokens it grows."""
    if tier.hold_step is None or tier.hold_step >= bound.output:
        return bound.tokens, 0
    step = estimate(prompt=0, output=tier.hold_step, choices=bound.choices, weights=price.weights)
    begun = estimate(prompt=bound.prompt, output=tier.hold_step, choices=bound.choices, weights=price.weights)
    return begun.tokens, step.tokens


def _output_cap(operation: Operation, model: Model, price: Price, tier: Tier, body: Body, prompt: int) -> int:
    if model.kind != "chat":
        return 0
    asked = operation.output_cap(body)
    if asked is None:
        cap = default_cap(
            prompt=prompt, choices=operation.choices(body), weights=price.weights, model_cap=model.max_output,
            tier_cap=tier.default_max_output, context_left=model.context_window - prompt, capacity=tier.bucket_capacity,
        )  # fmt: skip
        if cap < 1:
            raise errors.too_expensive(_whole(prompt, price) + 1, tier.bucket_capacity)
        return cap
    if asked > model.max_output:
        raise bad_request(
            f"max_tokens is too large: {asked}. The model `{model.name}` gives at most {model.max_output} tokens.",
            param=_cap_parameter(body),
        )
    if prompt + asked > model.context_window:
        raise _context_exceeded(prompt + asked, model)
    return asked


def _whole(prompt: int, price: Price) -> int:
    return -(-prompt * price.weights.input // MILLI)


def _context_exceeded(tokens: int, model: Model) -> ApiError:
    message = f"This model's context holds {model.context_window} tokens; prompt and max_tokens ask for {tokens}."
    return bad_request(message, param="messages", code="context_length_exceeded")


def _cap_parameter(body: Body) -> str:
    return "max_completion_tokens" if body.get("max_completion_tokens") is not None else "max_tokens"


def _upstream_body(operation: Operation, model: Model, body: Body, bound: Estimate) -> bytes:
    """The body that leaves: the checked fields, the provider's name of the model, the cap, and always the usage."""
    leaving: dict[str, Any] = {**body, "model": model.upstream_name}
    if operation.kind == "chat":
        if operation.output_cap(body) is None:
            leaving.pop("max_tokens", None)
            leaving["max_completion_tokens"] = bound.output
        if body.get("stream"):
            leaving["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
    return strict_json.dumps(leaving)
