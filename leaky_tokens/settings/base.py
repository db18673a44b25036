"""Settings of every process that runs Django: services, console, workers, commands, and the gateway's control plane.

Values come from the environment through :mod:`apps.core.environment`, which types, bounds and documents them.
"""

from datetime import timedelta
from pathlib import Path

import environ

from apps.core import environment
from leaky_tokens import console, policies
from leaky_tokens import logging as structured_logging

ROOT = Path(__file__).resolve().parent.parent.parent

DEBUG = False
SECRET_KEY = environment.text("DJANGO_SECRET_KEY", "", "Signs Django's own things (sessions, CSRF).", secret=True)
ALLOWED_HOSTS = environment.words(
    "LEAKY_ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]", "Host names under which the services and the console answer."
)
CSRF_TRUSTED_ORIGINS = environment.words(
    "LEAKY_TRUSTED_ORIGINS", "", "Origins whose forms the console accepts when TLS ends before it."
)

SERVICES = environment.words(
    "LEAKY_SERVICES", "token", "Which services this process serves: auth, token, analytics, registry, config, console."
)

DATABASE_SCOPE = environment.choice(
    "LEAKY_DATABASE_SCOPE",
    "all",
    "Rows that connections see before a caller is known. Processes of the API services: tenant; all others: all.",
    options=("all", "tenant"),
)
DATABASE_POOL_SIZE = environment.integer(
    "DATABASE_POOL_SIZE",
    0,
    "Connections that the threads of a process share (services and console); 0: one for each thread.",
    minimum=0,
    maximum=1000,
)
PUBLIC_URL = environment.text(
    "LEAKY_PUBLIC_URL",
    "http://127.0.0.1:8080",
    "Where clients reach the gateway, without a path: the issuer of OAuth2 tokens, and the start of links in e-mails.",
)
INTERNAL_KEYS = environment.words(
    "LEAKY_INTERNAL_KEYS",
    "",
    "Public keys of the gateways' internal tokens: base64 of 32 bytes (Ed25519); several while one is replaced.",
)

INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "oauth2_provider",
    "axes",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "apps.core",
    "apps.outbox",
    "apps.audit",
    "apps.limiter",
    "apps.config",
    "apps.accounts",
    "apps.orgs",
    "apps.providers",
    "apps.quotas",
]

MIDDLEWARE = [
    "leaky_tokens.telemetry.RequestContextMiddleware",
    "leaky_tokens.telemetry.RequestMetricsMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "leaky_tokens.headers.BrowserHeadersMiddleware",
    "servestatic.middleware.ServeStaticMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "apps.accounts.browser.SessionGuard",
    "axes.middleware.AxesMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "leaky_tokens.acting.ConsoleActorMiddleware",
]

ROOT_URLCONF = "leaky_tokens.urls"
ASGI_APPLICATION = "leaky_tokens.asgi.application"
WSGI_APPLICATION = "leaky_tokens.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [ROOT / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

DATABASE_URL = environment.text(
    "DATABASE_URL",
    "postgres://leaky_app@127.0.0.1:5432/leaky_tokens",
    "PostgreSQL as the application sees it: a role that cannot rewrite the ledger.",
)
DATABASE_OWNER_URL = environment.text(
    "DATABASE_OWNER_URL", "", "PostgreSQL as migrations see it: the owner's role. Empty: the same as DATABASE_URL."
)
STATEMENT_TIMEOUT_MS = environment.integer(
    "DATABASE_STATEMENT_TIMEOUT_MS", 5000, "A statement that runs longer is cut.", minimum=100, maximum=600_000
)
DATABASES = {
    "default": {
        **environ.Env.db_url_config(DATABASE_URL),
        "CONN_MAX_AGE": None,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {
            "options": f"-c statement_timeout={STATEMENT_TIMEOUT_MS} -c leaky.scope={DATABASE_SCOPE}",
            "connect_timeout": 5,
        },
    }
}
if DATABASE_POOL_SIZE:
    DATABASES["default"]["CONN_MAX_AGE"] = 0
    DATABASES["default"]["OPTIONS"]["pool"] = {"min_size": 1, "max_size": DATABASE_POOL_SIZE, "timeout": 5}
APP_ROLE = environment.text(
    "DATABASE_APP_ROLE", "leaky_app", "The application's role; migrations grant it what it needs and no more."
)

QUOTA_REDIS_URL = environment.text(
    "QUOTA_REDIS_URL",
    "redis://127.0.0.1:6379/0",
    "Valkey for buckets (and later leases): appendfsync always, noeviction.",
)
QUOTA_LEASE_SECONDS = environment.integer(
    "QUOTA_LEASE_SECONDS", 600, "Life of a lease's purse between renewals.", minimum=2, maximum=3600
)
QUOTA_RENEW_SECONDS = environment.integer(
    "QUOTA_RENEW_SECONDS", 330, "A lease that has less left is renewed, or recalled when idle.", minimum=1, maximum=3600
)
QUOTA_SWEEP_SECONDS = environment.number(
    "QUOTA_SWEEP_SECONDS",
    15,
    "Interval of the sweeper's passes; a hold is ended after four of them without a sign of life.",
    minimum=0.2,
    maximum=600,
)
QUOTA_SKEW_SECONDS = environment.integer(
    "QUOTA_SKEW_SECONDS", 60, "How far clocks may differ when leases are closed.", minimum=0, maximum=3600
)
QUOTA_TOMBSTONE_SECONDS = environment.integer(
    "QUOTA_TOMBSTONE_SECONDS",
    3600,
    "How long an ended hold is remembered in Valkey; not less than the longest call.",
    minimum=10,
    maximum=172_800,
)
QUOTA_CALL_SECONDS = environment.number(
    "GATEWAY_CALL_SECONDS",
    900,
    "Longest life of a call, streams included; no upstream outlives it.",
    minimum=1,
    maximum=3600,
)
REDIS_URL = environment.text(
    "REDIS_URL", "redis://127.0.0.1:6380/0", "Valkey for cache, sessions, config push and Celery: volatile-lru."
)
CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}}
SESSION_ENGINE = "apps.accounts.session_store"

KEY_PEPPER = environment.text(
    "LEAKY_KEY_PEPPER", "", "Secret beside the database with which API keys are hashed.", secret=True
)
KEYS_PER_USER = environment.integer(
    "LEAKY_KEYS_PER_USER", 100, "Good API keys that a user may have at a time.", minimum=1, maximum=10_000
)
CREDENTIAL_KEYS = environment.words(
    "LEAKY_CREDENTIAL_KEYS",
    "",
    "Keys that encrypt provider credentials, newest first: id:base64 of 32 bytes, comma-separated.",
)
PLAIN_UPSTREAMS = environment.flag(
    "LEAKY_PLAIN_UPSTREAMS",
    "Providers may be reached by plain http on other machines too (a private network); on this one they always may.",
    default=False,
)

TOKEN_ISSUER = environment.text("LEAKY_TOKEN_ISSUER", "leaky-tokens-auth", "Issuer (iss) of first-party tokens.")
TOKEN_AUDIENCE = environment.text("LEAKY_TOKEN_AUDIENCE", "leaky-tokens", "Audience (aud) of all access tokens.")
QUOTA_APPROVAL_TOKENS = environment.integer(
    "QUOTA_APPROVAL_TOKENS", 10_000_000,
    "Tokens that one operator may give or take within a day without a second person's approval.",
    minimum=0, maximum=9 * 10**15,
)  # fmt: skip
QUOTA_APPROVAL_DAYS = environment.integer(
    "QUOTA_APPROVAL_DAYS", 7, "Days that an order of tokens waits for approval before it expires.",
    minimum=1, maximum=90,
)  # fmt: skip
TOKEN_SECONDS = environment.integer(
    "LEAKY_TOKEN_SECONDS", 3600, "Life of first-party and OAuth2 access tokens.", minimum=60, maximum=86_400
)

ORGS_PER_USER = environment.integer(
    "LEAKY_ORGS_PER_USER", 20, "Organisations that a user may own.", minimum=0, maximum=100_000
)
INVITATIONS_PER_ORG = environment.integer(
    "LEAKY_INVITATIONS_PER_ORG", 100, "Open invitations of an organisation.", minimum=0, maximum=100_000
)

AUTH_USER_MODEL = "accounts.User"
OAUTH2_PROVIDER_APPLICATION_MODEL = "accounts.Application"
REFRESH_SECONDS = environment.integer(
    "LEAKY_REFRESH_SECONDS",
    2_592_000,
    "How long a sign-in lasts that is not used: the life of a refresh token and of a browser session.",
    minimum=3600,
    maximum=31_536_000,
)
SIGNING_KEY_DAYS = environment.integer(
    "LEAKY_SIGNING_KEY_DAYS", 90, "A key that signs tokens is replaced after so many days.", minimum=2, maximum=3650
)
SIMPLE_JWT = {
    "ALGORITHM": "RS256",
    "ACCESS_TOKEN_LIFETIME": timedelta(seconds=TOKEN_SECONDS),
    "REFRESH_TOKEN_LIFETIME": timedelta(seconds=REFRESH_SECONDS),
    "USER_ID_CLAIM": "sub",
    "TOKEN_TYPE_CLAIM": "typ",
}
PASSWORD_MIN_LENGTH = environment.integer(
    "LEAKY_PASSWORD_MIN_LENGTH", 8, "Fewest characters of a password.", minimum=8, maximum=64
)
PASSWORD_REFUSE_COMMON = environment.flag(
    "LEAKY_PASSWORD_REFUSE_COMMON",
    "Refuse the 20,000 most common passwords. Off, because clients of the original system register with some of them; "
    "turn it on where people choose passwords.",
    default=False,
)
OAUTH2_PROVIDER_GRANT_MODEL = "accounts.Grant"
REFRESH_DAYS = environment.integer(
    "LEAKY_OAUTH_REFRESH_DAYS", 30, "Days until an unused OAuth2 refresh token ends.", minimum=1, maximum=365
)
DEMO_CLIENT_SECRET = environment.text(
    "LEAKY_DEMO_CLIENT_SECRET", "leaky-secret", "Secret of the demo data's OAuth2 client leaky-client.", secret=True
)
OAUTH2_PROVIDER = {
    "OAUTH2_SERVER_CLASS": "apps.accounts.oauth.server.Server",
    "OAUTH2_VALIDATOR_CLASS": "apps.accounts.oauth.validator.Validator",
    "SCOPES_BACKEND_CLASS": "apps.accounts.oauth.scopes.ClientScopes",
    "ACCESS_TOKEN_GENERATOR": "apps.accounts.oauth.generators.access_token",
    "REFRESH_TOKEN_GENERATOR": "apps.accounts.oauth.generators.refresh_token",
    "OIDC_ENABLED": True,
    "OIDC_ISS_ENDPOINT": PUBLIC_URL,
    "ACCESS_TOKEN_EXPIRE_SECONDS": TOKEN_SECONDS,
    "ID_TOKEN_EXPIRE_SECONDS": TOKEN_SECONDS,
    "REFRESH_TOKEN_EXPIRE_SECONDS": REFRESH_DAYS * 86_400,
    "REFRESH_TOKEN_REUSE_PROTECTION": True,
    "AUTHORIZATION_CODE_EXPIRE_SECONDS": 60,
    # Client secrets are random, not chosen: a slow hash would only slow each client's every token.
    "CLIENT_SECRET_HASHER": "client_secret",
    "ALLOWED_REDIRECT_URI_SCHEMES": ["https"],
    "ALLOW_URI_WILDCARDS": False,
    "PKCE_REQUIRED": True,
    "OIDC_RP_INITIATED_LOGOUT_ENABLED": True,
    "OIDC_RP_INITIATED_LOGOUT_ALWAYS_PROMPT": False,
    "OIDC_RP_INITIATED_LOGOUT_STRICT_REDIRECT_URIS": True,
    **{
        f"COMPLIANT_BCP_RFC9700_{gate}": True
        for gate in (
            "IMPLICIT_GRANT", "PASSWORD_GRANT", "PKCE_METHOD", "ACCESS_TOKEN_TRANSPORT", "AUTHZ_RESPONSE_ISS",
            "TOKEN_STORAGE", "REFRESH_TOKEN", "REDIRECT_URI_SCHEME", "REDIRECT_URI_MATCHING", "PKCE_REQUIRED",
        )
    },
}  # fmt: skip
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": PASSWORD_MIN_LENGTH},
    },
    {"NAME": "apps.accounts.validators.MaximumLengthValidator"},
]
if PASSWORD_REFUSE_COMMON:
    AUTH_PASSWORD_VALIDATORS += [
        {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
        {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    ]
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "apps.accounts.backends.PeopleBackend"]
AXES_HANDLER = "apps.accounts.lockout.GrowingLock"
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_FAILURE_LIMIT = environment.integer(
    "LEAKY_SIGN_IN_FAILURES",
    5,
    "Wrong passwords for one name from one address, before it is locked for a minute; each one more doubles that, up "
    "to an hour.",
    minimum=1,
    maximum=100,
)
SIGN_IN_FAILURES_PER_ADDRESS = environment.integer(
    "LEAKY_SIGN_IN_FAILURES_PER_ADDRESS",
    50,
    "Wrong passwords from one address, for all names that failed from there in the last 15 minutes, before nobody can "
    "sign in from there until 15 minutes after the last one.",
    minimum=1,
    maximum=1_000_000,
)
# How long wrong passwords are remembered; how long they lock is the handler's to say.
AXES_COOLOFF_TIME = timedelta(days=1)
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_CLIENT_IP_CALLABLE = "apps.accounts.lockout.address"
AXES_LOCKOUT_CALLABLE = "apps.accounts.lockout.refusal"
AXES_SENSITIVE_PARAMETERS = ["username", "ip_address", "csrfmiddlewaretoken", "next"]
AXES_DISABLE_ACCESS_LOG = True
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
    "apps.accounts.oauth.hashers.ClientSecretHasher",
]
LOGIN_URL = "/account/sign-in"
LOGIN_REDIRECT_URL = "/account"

_MAIL = environ.Env.email_url_config(
    environment.text(
        "EMAIL_URL",
        "consolemail://",
        "Where mail goes: smtp://…, smtp+tls://user:password@host:587, smtp+ssl://…, dummymail:// (nowhere), or "
        "consolemail:// (to the log), which production refuses.",
    )
)
EMAIL_BACKEND = _MAIL["EMAIL_BACKEND"]
EMAIL_HOST, EMAIL_PORT = _MAIL["EMAIL_HOST"], _MAIL["EMAIL_PORT"]
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = _MAIL["EMAIL_HOST_USER"] or "", _MAIL["EMAIL_HOST_PASSWORD"] or ""
EMAIL_USE_TLS, EMAIL_USE_SSL = _MAIL.get("EMAIL_USE_TLS", False), _MAIL.get("EMAIL_USE_SSL", False)
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = environment.text(
    "LEAKY_MAIL_FROM", "Leaky Tokens <no-reply@localhost>", "The sender of our e-mails."
)
REST_FRAMEWORK = {
    "EXCEPTION_HANDLER": "apps.core.http.errors.handle",
    "UNAUTHENTICATED_USER": None,
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Leaky Tokens API",
    "DESCRIPTION": "An LLM API gateway with a bank inside.",
    "VERSION": "v1",
    "OAS_VERSION": "3.0.3",
}

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False
FORMAT_MODULE_PATH = "leaky_tokens.formats"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

STATIC_URL = "static/"
STATIC_ROOT = ROOT / "staticfiles"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "servestatic.storage.CompressedManifestStaticFilesStorage"},
}

UNFOLD = console.UNFOLD

SECURE_CONTENT_TYPE_NOSNIFF = True
# "no-referrer" would make browsers send "Origin: null" with every form: nobody could log in to the console.
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {"DIRECTIVES": policies.STRICT}
CSRF_FAILURE_VIEW = "apps.core.http.pages.csrf_failed"
# The console's cookies have names of their own: on one host, signing in to one must not sign out of the other.
_COOKIES = "leaky_console" if SERVICES == ["console"] else "leaky"
SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = f"{_COOKIES}_session", f"{_COOKIES}_csrf"
SESSION_COOKIE_AGE = REFRESH_SECONDS
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"

LOG_LEVEL = environment.choice(
    "LEAKY_LOG_LEVEL", "info", "Least severe level that is logged.", options=("debug", "info", "warning", "error")
)
LOGGING_CONFIG = "leaky_tokens.logging.configure"
LOGGING = structured_logging.config(LOG_LEVEL)
