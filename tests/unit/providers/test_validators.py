"""What operators may type into the catalogue."""

import pytest
from django.core.exceptions import ValidationError
from pytest_django import Settings

from apps.providers.validators import validate_base_url, validate_header_names, validate_names


@pytest.mark.parametrize(
    "url", ["https://api.openai.com/v1", "http://127.0.0.1:8093/v1", "http://localhost:1", "http://[::1]:8093/v1"]
)
def test_good_addresses(url: str) -> None:
    validate_base_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "", "api.openai.com", "ftp://api.openai.com", "file:///etc/passwd", "https://", "https:///v1",
        "https://user@api.openai.com", "https://user:pass@api.openai.com", "https://api.openai.com/v1?x=1",
        "https://api.openai.com/v1?", "https://api.openai.com/#", "https://api.openai.com:port",
        "https://api.openai.com:99999", "https://[::1", "https://api.openai.com /v1", "https://api.openai.com\\@evil.com",
        "https://\u0430pi.openai.com", "http://api.openai.com", "http://10.0.0.1", "http://127.0.0.1.evil.com",
        "http://localhost.evil.com", "https://api.openai.com/v1\n",
    ],
)  # fmt: skip
def test_bad_addresses(url: str) -> None:
    with pytest.raises(ValidationError):
        validate_base_url(url)


def test_plain_http_to_other_machines_is_a_setting(settings: Settings) -> None:
    settings.PLAIN_UPSTREAMS = True
    validate_base_url("http://stub-openai:8093/v1")


def test_header_names() -> None:
    validate_header_names([])
    validate_header_names(["x-stub-fault", "openai-beta"])


@pytest.mark.parametrize(
    "names", ["x-a", {"x-a": 1}, [1], [""], ["X-A"], ["x a"], ["x-a:"], ["authorization"], ["cookie"], ["host"], ["te"]]
)
def test_bad_header_names(names: object) -> None:
    with pytest.raises(ValidationError):
        validate_header_names(names)


@pytest.mark.parametrize("names", ["*", [None], [""], ["a", "a"]])
def test_bad_parameter_names(names: object) -> None:
    with pytest.raises(ValidationError):
        validate_names(names)
