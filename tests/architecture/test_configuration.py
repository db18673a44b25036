"""The page of settings says what the code reads."""

import os
import subprocess
import sys

from leaky_tokens.configuration import PAGE

FORGOTTEN = (
    "DATABASE_", "REDIS_URL", "QUOTA_REDIS_URL", "GATEWAY_", "WORKER_", "LEAKY_", "EMAIL_URL", "DJANGO_SECRET_KEY",
)  # fmt: skip


def test_the_page_is_rendered_from_the_declarations() -> None:
    """In a process of its own, without this session's values: the page shows defaults."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(FORGOTTEN)}
    shown = subprocess.run(
        [sys.executable, "-c", "from leaky_tokens.configuration import render; print(render(), end='')"],
        env={**clean, "DJANGO_SETTINGS_MODULE": "leaky_tokens.settings.test"},
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip

    assert shown == PAGE.read_text(), "run `python -m leaky_tokens.configuration`"
