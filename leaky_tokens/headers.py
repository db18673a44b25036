"""Headers that tell browsers what a page of ours may do: its content security policy, and no devices."""

from csp.constants import NONE, SELF, UNSAFE_EVAL, UNSAFE_INLINE
from csp.middleware import CSPMiddleware, PolicyParts
from django.http import HttpRequest, HttpResponseBase

PERMISSIONS = "geolocation=(), microphone=(), camera=()"

STRICT = {
    "default-src": [NONE],
    "style-src": [SELF],
    "img-src": [SELF, "data:"],
    "form-action": [SELF],
    "frame-ancestors": [NONE],
    "base-uri": [NONE],
}
"""Our own pages: they have no script. JSON answers carry it, too: they need nothing."""

SCRIPTED = STRICT | {
    "script-src": [SELF, UNSAFE_INLINE],
    "style-src": [SELF, UNSAFE_INLINE],
    "connect-src": [SELF],
    "font-src": [SELF, "data:"],
    "worker-src": [SELF, "blob:"],
}
"""Pages of packages that write scripts and styles into their HTML: the API's documentation."""

CONSOLE = SCRIPTED | {"script-src": [SELF, UNSAFE_INLINE, UNSAFE_EVAL]}
"""The console: its theme computes what it shows with Alpine, which evaluates expressions."""

BY_PATH = (("/admin/", CONSOLE), ("/swagger-ui", SCRIPTED), ("/redoc", SCRIPTED))
"""Where a path begins like this, that policy; everywhere else the strict one."""


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
        found = (policy for start, policy in BY_PATH if request.path_info.startswith(start))
        parts.config = parts.config or next(found, None)
        return parts

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """The answer, with the headers."""
        response.setdefault("Permissions-Policy", PERMISSIONS)
        return super().process_response(request, response)
