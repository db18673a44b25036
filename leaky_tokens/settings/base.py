"""Settings of every process that runs Django: services, console, workers, commands, and the gateway's control plane.

Values come from the environment through :mod:`apps.core.environment`, which types, bounds and documents them.
"""

from pathlib import Path

import environ

from apps.core import environment
from leaky_tokens import console
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

INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "apps.core",
    "apps.outbox",
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
    "servestatic.middleware.ServeStaticMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
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
        "OPTIONS": {"options": f"-c statement_timeout={STATEMENT_TIMEOUT_MS}", "connect_timeout": 5},
    }
}
APP_ROLE = environment.text(
    "DATABASE_APP_ROLE", "leaky_app", "The application's role; migrations grant it what it needs and no more."
)

QUOTA_REDIS_URL = environment.text(
    "QUOTA_REDIS_URL",
    "redis://127.0.0.1:6379/0",
    "Valkey for buckets (and later leases): appendfsync always, noeviction.",
)
REDIS_URL = environment.text(
    "REDIS_URL", "redis://127.0.0.1:6380/0", "Valkey for cache, sessions, config push and Celery: volatile-lru."
)
CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}}
SESSION_ENGINE = "django.contrib.sessions.backends.cached_db"

KEY_PEPPER = environment.text(
    "LEAKY_KEY_PEPPER", "", "Secret beside the database with which API keys are hashed.", secret=True
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

AUTH_USER_MODEL = "accounts.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "admin:login"

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
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"

LOG_LEVEL = environment.choice(
    "LEAKY_LOG_LEVEL", "info", "Least severe level that is logged.", options=("debug", "info", "warning", "error")
)
LOGGING_CONFIG = "leaky_tokens.logging.configure"
LOGGING = structured_logging.config(LOG_LEVEL)
