"""What OpenAPI says of organisations' routes: every one of them, with a summary, refusals and a name."""

import pytest
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator

from apps.orgs.rest import urls


@pytest.fixture
def paths() -> dict[str, dict[str, dict[str, object]]]:
    GENERATOR_STATS.reset()
    schema = SchemaGenerator(patterns=urls.urlpatterns).get_schema(request=None, public=True)
    said = [*GENERATOR_STATS._warn_cache, *GENERATOR_STATS._error_cache]
    assert [text for text in said if "GatewayIdentity" not in text] == []
    found: dict[str, dict[str, dict[str, object]]] = schema["paths"]
    return found


def test_every_route_is_described(paths: dict[str, dict[str, dict[str, object]]]) -> None:
    operations = [operation for methods in paths.values() for operation in methods.values()]
    assert len(paths) == len(urls.urlpatterns)
    names = [operation["operationId"] for operation in operations]
    assert len(names) == len(set(names)) == 30
    for operation in operations:
        responses = operation["responses"]
        assert isinstance(responses, dict)
        assert operation["summary"], operation["operationId"]
        assert "401" in responses, operation["operationId"]
