"""Routes of the service ``token``: what may be spent, what was spent, and why a call was refused.

Ids are taken as text, so that a malformed one is answered like one that is somebody else's.
"""

from django.urls import URLPattern, URLResolver, path

from apps.quotas.rest.explanation import ExplanationView
from apps.quotas.rest.pools import OrganisationPool, Pools
from apps.quotas.rest.quota import OwnQuotas, ProviderQuota, Status, UserQuota
from apps.quotas.rest.rate_limits import RateLimits
from apps.quotas.rest.receipts import OneReceipt, Receipts
from apps.quotas.rest.statement import StatementView

app_name = "token"
urlpatterns: list[URLPattern | URLResolver] = [
    path("api/v1/tokens/status", Status.as_view()),
    path("api/v1/tokens/quota", UserQuota.as_view()),
    path("api/v1/tokens/quota/org", OrganisationPool.as_view()),
    path("api/v1/tokens/quota/org/pools", Pools.as_view()),
    path("api/v1/tokens/quotas", OwnQuotas.as_view()),
    path("api/v1/tokens/statement", StatementView.as_view()),
    path("api/v1/providers/<str:provider>/quota", ProviderQuota.as_view()),
    path("api/v1/rate-limits/<str:user_id>", RateLimits.as_view()),
    path("api/v1/receipts", Receipts.as_view()),
    path("api/v1/receipts/<str:reservation_id>", OneReceipt.as_view()),
    path("api/v1/requests/<str:request_id>/explanation", ExplanationView.as_view()),
]
