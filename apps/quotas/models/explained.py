"""What the console's page about one request stands for."""

from typing import ClassVar

from apps.quotas.models.ledger import Hold


class ExplainedRequest(Hold):
    """Calls, found by their request."""

    class Meta:
        proxy = True
        verbose_name = "explanation"
        default_permissions: ClassVar = ("view",)
