"""Who runs here: two locks that the kernel lets go of when their holders are gone, also after ``kill -9``.

``lock`` is the supervisor's and holds its pid: whoever can take it knows that no supervisor runs, whatever ``run.json``
says. ``children.lock`` is inherited by every process of a run: whoever can take it knows that all of them are gone.
"""

import fcntl
import os
import time

from leaky_tokens.local.errors import RunFailed
from leaky_tokens.local.place import Place

SUPERVISOR, CHILDREN = "lock", "children.lock"


def take(place: Place, name: str) -> int | None:
    """The descriptor that holds the lock until it is closed, or None when somebody else has it."""
    descriptor = os.open(place.file(name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    return descriptor


def take_within(place: Place, name: str, seconds: float) -> int | None:
    """As :func:`take`, waiting up to ``seconds`` for the holder to go."""
    deadline = time.monotonic() + seconds
    while (descriptor := take(place, name)) is None and time.monotonic() < deadline:
        time.sleep(0.02)
    return descriptor


def holder(place: Place) -> int | None:
    """The pid of the supervisor that runs here now, or None."""
    if not place.file(SUPERVISOR).exists():
        return None
    descriptor = take_shared(place)
    if descriptor is None:
        return int(place.file(SUPERVISOR).read_text() or 0) or None
    os.close(descriptor)
    return None


def take_shared(place: Place) -> int | None:
    """Ask without writing: two who only look do not disturb one another."""
    descriptor = os.open(place.file(SUPERVISOR), os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def wait_until_left(place: Place, seconds: float = 10) -> int:
    """The children's lock, once the processes of an earlier run that was killed have ended.

    Raises:
        RunFailed: they are still there after ``seconds``.
    """
    descriptor = take_within(place, CHILDREN, seconds)
    if descriptor is None:
        raise RunFailed(f"processes of an earlier run still hold {place.file(CHILDREN)}: end them, then run again")
    return descriptor
