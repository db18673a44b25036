"""What the tests of organisations share."""

import pytest
from pytest_django import Settings


@pytest.fixture(autouse=True)
def auth_service(settings: Settings) -> None:
    """This process serves the routes of identity."""
    settings.SERVICES = ["auth"]
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    settings.ROOT_URLCONF = "tests.integration.orgs.urls"
