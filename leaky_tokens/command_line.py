"""Who acts at the command line, for the audit trail. Imported before Django is set up."""

import getpass
import os
from collections.abc import Sequence

from apps.core.acting import OPERATOR, Actor


def actor_of(arguments: Sequence[str]) -> Actor:
    """The operating system's user, with ``manage.py <command>``; of ``arguments`` only the command is told."""
    command = " ".join(["manage.py", *arguments[1:2]])
    return Actor(OPERATOR, id=_system_user()[:64], name=command[:254])


def _system_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # A container may run under a number that has no name.
        return str(os.getuid())
