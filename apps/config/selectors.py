"""Reads of configuration versions."""

from apps.config.models import ConfigVersion


def versions() -> dict[str, int]:
    """The version of every topic that has ever changed. One query.

    Read it *before* what it versions: then a change in between is seen again, never missed.
    """
    return dict(ConfigVersion.objects.values_list("topic", "version"))
