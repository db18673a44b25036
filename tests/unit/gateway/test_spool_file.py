"""A spool's file outlives its process, and nobody takes it from a living one."""

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from apps.core.errors import StoreUnavailable
from gateway.spool_file import SpoolFile, files_in

OWNER = """
import sys
from pathlib import Path
from gateway.spool_file import SpoolFile
file = SpoolFile.create(Path(sys.argv[1]))
file.append(["A", 1], ["A", 2])
print("written", flush=True)
file.append(["E", 1])
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spools" / "one.spool"


@contextmanager
def an_owner(path: Path) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-c", OWNER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        yield process
        process.kill()


def test_the_file_of_a_living_process_is_its_own_also_while_it_is_frozen(path: Path) -> None:
    with an_owner(path) as owner:
        assert SpoolFile.adopt(path) is None
        owner.send_signal(signal.SIGSTOP)
        assert SpoolFile.adopt(path) is None
        owner.send_signal(signal.SIGCONT)


def test_the_file_of_a_killed_process_is_adopted_once_and_whole(path: Path) -> None:
    with an_owner(path) as owner:
        owner.kill()
        owner.wait()
        adopted = SpoolFile.adopt(path)
        assert adopted is not None
        assert [line[:2] for line in adopted.lines()][:2] == [["A", 1], ["A", 2]]
        assert SpoolFile.adopt(path) is None
        adopted.remove()
        assert files_in(path.parent) == []
        assert SpoolFile.adopt(path) is None


def test_torn_lines_are_passed_over(path: Path) -> None:
    file = SpoolFile.create(path)
    file.append(["A", 1])
    file.append_raw(b'["E",1,{"half":')
    file.append_raw(b"\n")
    file.append(["A", 2])
    assert list(file.lines()) == [["A", 1], ["A", 2]]
    file.remove()


def test_a_rewritten_file_is_locked_under_its_old_name(path: Path) -> None:
    file = SpoolFile.create(path)
    file.append(["A", 1], ["A", 2])
    stale = os.open(path, os.O_RDWR)
    file.rewrite([b'["A",2]\n'])
    assert SpoolFile.adopt(path) is None
    os.close(stale)
    file.append(["E", 2])
    assert list(file.lines()) == [["A", 2], ["E", 2]]
    assert file.size == path.stat().st_size
    assert files_in(path.parent) == [path]
    file.close()
    adopted = SpoolFile.adopt(path)
    assert adopted is not None
    adopted.remove()


def test_a_full_disk_is_told_and_spoils_no_later_line(path: Path) -> None:
    file = SpoolFile.create(path)
    file.append(["A", 1])
    with files_no_larger_than(file.size + 5), pytest.raises(StoreUnavailable):
        file.append(["A", 2, "x" * 100])
    with files_no_larger_than(file.size), pytest.raises(StoreUnavailable):
        file.rewrite([b"x" * 1000])
    file.append(["A", 3])
    assert list(file.lines()) == [["A", 1], ["A", 3]]
    assert files_in(path.parent) == [path]
    file.remove()


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """As on a full disk: the part that fits is written."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
