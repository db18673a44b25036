"""Production: TLS in front, secure cookies, and a refusal to start on a missing secret."""

from urllib.parse import urlsplit

from apps.core import environment
from apps.core.errors import ConfigurationError
from leaky_tokens.settings.base import *

for _name, _value in (
    ("DJANGO_SECRET_KEY", SECRET_KEY),
    ("LEAKY_KEY_PEPPER", KEY_PEPPER),
    ("LEAKY_CREDENTIAL_KEYS", CREDENTIAL_KEYS),
    ("LEAKY_INTERNAL_KEYS", INTERNAL_KEYS),
):
    if not _value:
        raise ConfigurationError(f"{_name} must be set in production")

if EMAIL_BACKEND.endswith(".console.EmailBackend"):
    raise ConfigurationError("EMAIL_URL must be set in production: consolemail:// writes links that sign in to the log")

# The gateway passes the name on under which the client reached it.
ALLOWED_HOSTS = [*ALLOWED_HOSTS, urlsplit(PUBLIC_URL).hostname or ""]

SECURE_SSL_REDIRECT = environment.flag(
    "LEAKY_SSL_REDIRECT", "Send plain HTTP to HTTPS (off where the front does it).", default=True
)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_HSTS_SECONDS = 31_536_000
SECURE_HSTS_INCLUDE_SUBDOMAINS = True
SECURE_HSTS_PRELOAD = True
SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True
# Browsers take such a cookie only from this very host, over TLS, for all paths: no sister host can plant one.
SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = f"__Host-{SESSION_COOKIE_NAME}", f"__Host-{CSRF_COOKIE_NAME}"
