"""Whether the database has every migration that is on disk, asked without starting Django: that takes a second."""

from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

import psycopg

from leaky_tokens.settings.base import INSTALLED_APPS


def are_pending(owner_url: str) -> bool:
    """Whether a migration of an installed app is not recorded as applied."""
    with psycopg.connect(owner_url, connect_timeout=3) as connection:
        found = connection.execute("SELECT to_regclass('django_migrations') IS NOT NULL").fetchone()
        if not found or not found[0]:
            return True
        applied = {(app, name) for app, name in connection.execute("SELECT app, name FROM django_migrations")}
    return not on_disk(INSTALLED_APPS) <= applied


def on_disk(apps: Iterable[str]) -> set[tuple[str, str]]:
    """(app label, migration name) of every migration file of ``apps``."""
    return {
        (app.rpartition(".")[2], file.stem)
        for app in apps
        for file in (_directory_of(app) / "migrations").glob("[0-9]*.py")
    }


def _directory_of(app: str) -> Path:
    spec = find_spec(app)
    if spec is None or spec.origin is None:
        raise LookupError(f"INSTALLED_APPS names {app}, which is no package")
    return Path(spec.origin).parent
