"""Tests: real stores, whose addresses the test session puts into the environment; fast password hashes."""

import os

os.environ.setdefault("DJANGO_SECRET_KEY", "a key for tests only, never for a deployment")
os.environ.setdefault("LEAKY_KEY_PEPPER", "a pepper for tests only")
os.environ.setdefault("LEAKY_INTERNAL_KEYS", "enhdUkk8hjIHGAigyhFWAn5Pkglt7wc3yuo0gTusNeA=")
os.environ.setdefault("GATEWAY_INTERNAL_KEY", "b25seSBmb3IgdGVzdHMsIG5ldmVyIGRlcGxveWVkISE=")
os.environ.setdefault("LEAKY_CREDENTIAL_KEYS", "t1:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")

from leaky_tokens.settings.dev import *

PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.MD5PasswordHasher",
    "apps.accounts.oauth.hashers.ClientSecretHasher",
]
