"""Dies with its parent, then becomes the program: ``guard.py <parent pid> <signal> <command…>``.

Linux tells a child of its parent's death only when the child has asked for it, and forgets the wish when a process
changes its user. So this small program asks, from inside the child and after any change of user, and then is replaced
by the real command under the same pid. Run as a file by an isolated interpreter: only the standard library, and little.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def guarded(command: list[str], death_signal: signal.Signals) -> list[str]:
    """``command``, made to get ``death_signal`` when the calling process dies, however it dies."""
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), str(int(death_signal)), *command]


def become(parent: int, death_signal: int, command: list[str]) -> None:
    """Bind our life to ``parent``'s and turn into ``command``."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, death_signal)
    if os.getppid() != parent:  # It died before we could ask.
        sys.exit(1)
    os.execvp(command[0], command)  # noqa: S606 (no shell is the point)


if __name__ == "__main__":
    become(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
