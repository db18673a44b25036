"""Where an installed package's files are, without importing it: imports of server wheels have side effects."""

from importlib.util import find_spec
from pathlib import Path

from apps.core.errors import ConfigurationError


def directory_of(package: str) -> Path:
    """The package's directory.

    Raises:
        ConfigurationError: it is not installed.
    """
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ConfigurationError(f"{package} is not installed: run `make install`, or use servers of your own")
    return Path(spec.origin).parent
