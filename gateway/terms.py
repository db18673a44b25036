"""From a checked call to what it asks of the quota; and from the quota's refusals to answers."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from apps.core.errors import InsufficientBudget, InsufficientQuota, StoreUnavailable
from apps.core.ids import uuid7
from gateway import errors, idempotency, limits, strict_json
from gateway.control_plane import (
    Bucket,
    Budget,
    CallFacts,
    Claim,
    Mode,
    Policy,
    Principal,
    Refusal,
    RefusalKind,
    Strategy,
    Tier,
    account_id,
    budgets_of,
    reset_time,
)
from gateway.errors import ApiError
from gateway.exchange import Exchange
from gateway.idempotency import Attempt
from gateway.plan import Plan
from gateway.quota import Demand, Terms

if TYPE_CHECKING:
    from uuid import UUID

CLAIM_MS = idempotency.KEPT_SECONDS * 1000
REMEMBERED = 65_536


class TermsBook:
    """The terms of callers, remembered: to derive them costs more than a call's other work in memory."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, UUID, str], tuple[Principal, Terms]] = {}

    def of(self, plan: Plan) -> Terms:
        """The terms of a call's credential with its provider, as of its principal and its tier."""
        principal = plan.principal
        key = (principal.key_id, principal.payer_id, plan.provider.slug)
        kept = self._kept.get(key)
        if kept is not None and kept[0] is principal and kept[1].tier is plan.tier:
            return kept[1]
        if len(self._kept) >= REMEMBERED:
            self._kept.clear()
        terms = _terms(plan)
        self._kept[key] = (principal, terms)
        return terms


def _terms(plan: Plan) -> Terms:
    principal = plan.principal
    return Terms(
        account_id(principal.payer_kind, principal.payer_id, plan.provider.slug),
        plan.tier,
        policy_of(plan.tier),
        principal.key_id,
        str(principal.user_id),
        principal.token_version,
    )


def policy_of(tier: Tier) -> Policy:
    """A tier's limits as the limiter takes them."""
    return Policy(
        Bucket(tier.bucket_capacity, tier.leak_rate), Strategy(tier.strategy), Mode(tier.mode), tier.max_wait_ms,
        tier.window_seconds * 1000, tier.requests_per_minute, tier.concurrency,
    )  # fmt: skip


def demand_of(exchange: Exchange, plan: Plan, terms: Terms, attempt: Attempt | None) -> Demand:
    """What an admissible call asks for."""
    facts = _facts(exchange, plan)
    claim = None if attempt is None else Claim(attempt.key, attempt.fingerprint, CLAIM_MS)
    return Demand(uuid7(), plan.held, terms, facts, strict_json.dumps(facts), _budgets(plan), claim)


def _budgets(plan: Plan) -> tuple[Budget, ...]:
    principal = plan.principal
    if principal.budget is None and not principal.member_limits:
        return ()
    own = budgets_of(principal, plan.provider.slug, datetime.now(UTC))
    return tuple(Budget(budget_id, tokens) for budget_id, tokens in own)


def _facts(exchange: Exchange, plan: Plan) -> CallFacts:
    payer, price = plan.principal, plan.price
    return CallFacts(
        request_id=exchange.request_id, payer_kind=payer.payer_kind, payer_id=payer.payer_id, org_id=payer.org_id,
        user_id=payer.user_id, key_id=payer.key_id, provider=plan.provider.slug, model=plan.model.name,
        endpoint=plan.operation.name, streamed=plan.streamed, traceparent=exchange.trace.traceparent(),
        price_id=price.id, weights=price.weights, input_price=price.input_price,
        cached_input_price=price.cached_input_price, output_price=price.output_price, currency=price.currency,
    )  # fmt: skip


def answer_to(refusal: Refusal, demand: Demand) -> ApiError:
    """What a caller is told of the limiter's refusal.

    Raises:
        StoreUnavailable: it is ours to blame, not the caller.
    """
    answer = _ANSWERS.get(refusal.kind)
    if answer is None:
        raise StoreUnavailable(f"the quota store cannot admit now: {refusal.kind}")
    return answer(refusal, demand)


def _bucket_full(refusal: Refusal, demand: Demand) -> ApiError:
    level, wait_ms = refusal.used, refusal.wait_ms
    return limits.bucket_full(needed=demand.amount, capacity=refusal.limit, level=level, wait_ms=wait_ms)


def _too_many_requests(refusal: Refusal, _demand: Demand) -> ApiError:
    return limits.too_many_requests(per_minute=refusal.limit, used=refusal.used, wait_ms=refusal.wait_ms)


_ANSWERS: dict[RefusalKind, Callable[[Refusal, Demand], ApiError]] = {
    RefusalKind.DEAD: lambda _refusal, _demand: errors.unauthorized(),
    RefusalKind.RUNNING: lambda _refusal, _demand: idempotency.running(),
    RefusalKind.MISMATCH: lambda _refusal, _demand: idempotency.mismatch(),
    RefusalKind.REPLAY: lambda _refusal, _demand: idempotency.unavailable(),
    RefusalKind.CONCURRENCY: lambda refusal, _demand: limits.too_many_at_once(allowed=refusal.limit, live=refusal.used),
    RefusalKind.RPM: _too_many_requests,
    RefusalKind.FULL: _bucket_full,
    RefusalKind.NEVER: lambda refusal, demand: errors.too_expensive(demand.amount, refusal.limit),
}
"""What is not here is ours to blame: no lease in time, a journal that is too long, an id that was used before."""


def answer_to_shortage(short: InsufficientQuota | InsufficientBudget, demand: Demand) -> ApiError:
    """What a caller is told when the account or a budget has too little."""
    if isinstance(short, InsufficientBudget):
        return limits.over_budget(short, short.budget_id)
    now = datetime.now(UTC)
    if short.cap is not None:
        midnight = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
        return limits.over_cap(short, short.cap, _ms_until(midnight, now))
    return limits.insufficient_quota(short, _renewal(demand, now))


def _renewal(demand: Demand, now: datetime) -> int | None:
    """In how many milliseconds the next allowance that is large enough comes, if the tier has one."""
    allowances = demand.terms.tier.allowances
    renewals = [
        _ms_until(reset_time(window, now), now)
        for provider, window, tokens in allowances
        if provider == demand.facts.provider and tokens >= demand.amount
    ]
    return min(renewals, default=None)


def _ms_until(moment: datetime, now: datetime) -> int:
    return max(int((moment - now).total_seconds() * 1000), 1)
