"""Housekeeping of sign-ins."""

from apps.accounts import api
from workers.celery import app


@app.task
def rotate_signing_keys() -> bool:
    """The next signing key, once the present one has served its days."""
    return api.rotate_if_old()


@app.task
def purge_sessions() -> int:
    """Forget sessions that have been over for long, and cookies that have expired."""
    return api.purge_sessions()


@app.task
def purge_oauth_tokens() -> None:
    """Forget codes and tokens of OAuth2 clients that have expired for good."""
    api.purge_oauth_tokens()
