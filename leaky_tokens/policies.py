"""Content security policies: settings of the pages that this product serves, by their paths."""

from csp.constants import NONE, SELF, UNSAFE_EVAL, UNSAFE_INLINE

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
    "script-src": [SELF],
    "style-src": [SELF, UNSAFE_INLINE],
    "connect-src": [SELF],
    "font-src": [SELF, "data:"],
    "worker-src": [SELF, "blob:"],
}
"""The API's documentation: its packages write styles into the page. Scripts are files of ours."""

CONSOLE = SCRIPTED | {"script-src": [SELF, UNSAFE_INLINE, UNSAFE_EVAL]}
"""The console: its theme computes what it shows with Alpine, which evaluates expressions."""

BY_PATH = (("/admin/", CONSOLE), ("/swagger-ui", SCRIPTED), ("/redoc", SCRIPTED))
"""Where a path begins like this, that policy; everywhere else the strict one."""
