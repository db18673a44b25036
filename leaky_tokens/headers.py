"""Headers that tell browsers what a page of ours may do: its content security policy, and no devices."""

from csp.middleware import CSPMiddleware, PolicyParts
from django.http import HttpRequest, HttpResponseBase

from leaky_tokens.policies import BY_PATH

PERMISSIONS = "geolocation=(), microphone=(), camera=()"


class BrowserHeadersMiddleware(CSPMiddleware):
    """Sets the headers; a view may widen ``form-action`` with :func:`apps.core.http.redirects.forms_may_lead_to`."""

    def get_policy_parts(
        self,
        request: HttpRequest,
        response: HttpResponseBase,
        report_only: bool = False,  # noqa: FBT001, FBT002
    ) -> PolicyParts:
        """The policy of the request's path, unless its view has one of its own."""
        parts = super().get_policy_parts(request, response, report_only)
        if parts.config is None and not report_only:
            found = (policy for start, policy in BY_PATH if request.path_info.startswith(start))
            parts.config = next(found, None)
        return parts

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """The answer, with the headers."""
        response.setdefault("Permissions-Policy", PERMISSIONS)
        return super().process_response(request, response)
