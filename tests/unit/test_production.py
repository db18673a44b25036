"""Production settings refuse to start without what they need, and say what that is."""

import os
import subprocess
import sys

import pytest

NEEDED = {
    "DJANGO_SECRET_KEY": "any",
    "LEAKY_KEY_PEPPER": "any",
    "LEAKY_CREDENTIAL_KEYS": "k1:any",
    "LEAKY_INTERNAL_KEYS": "any",
    "EMAIL_URL": "smtp+tls://user:password@mail.example.com:587",
}


def start(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """In a process of its own: settings are read once."""
    command = [sys.executable, "-c", "import leaky_tokens.settings.prod"]
    return subprocess.run(
        command, env={"PATH": os.environ["PATH"], **environment}, capture_output=True, text=True, check=False
    )


def test_it_starts_with_all_that_it_needs() -> None:
    assert start(NEEDED).returncode == 0


@pytest.mark.parametrize("missing", sorted(NEEDED))
def test_it_names_what_is_missing(missing: str) -> None:
    refused = start({name: value for name, value in NEEDED.items() if name != missing})
    assert refused.returncode == 1
    assert f"ConfigurationError: {missing} must be set in production" in refused.stderr


@pytest.mark.parametrize("url", ["consolemail://", "consolemail:", "consolemail://user@host"])
def test_mail_is_never_written_to_the_log(url: str) -> None:
    refused = start({**NEEDED, "EMAIL_URL": url})
    assert refused.returncode == 1
    assert "ConfigurationError: EMAIL_URL must be set in production" in refused.stderr
