"""Reads of configuration versions."""

from apps.config.models import ConfigChange, ConfigVersion


def versions() -> dict[str, int]:
    """The version of every topic that has ever changed. One query.

    Read it *before* what it versions: then a change in between is seen again, never missed.
    """
    return dict(ConfigVersion.objects.values_list("topic", "version"))


def changes(topic: str, after: int, until: int) -> set[str] | None:
    """The subjects that ``topic``'s versions concerned, those after ``after`` up to and with ``until``. One query.

    None: everybody, because one of these versions named nobody, or is older than what is kept, or because ``until`` is
    behind ``after`` (the database was put back).
    """
    between = ConfigChange.objects.filter(topic=topic, version__gt=after, version__lte=until)
    rows = list(between.values_list("version", "subject"))
    if until < after or len({version for version, _subject in rows}) < until - after:
        return None
    return {subject for _version, subject in rows}
