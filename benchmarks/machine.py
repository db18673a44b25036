"""The machine under the figures: which cores do what, whether it is quiet enough, and what to write beside a result."""

import os
import platform
import resource
import shutil
import subprocess
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from benchmarks import nginx, processes

QUIET_SHARE = 0.1
"""A core that is busier than this before we start has other work to do."""

OBSERVED_SECONDS = 1.0
PACKAGES = ("uvicorn", "uvloop", "httptools", "hiredis", "django", "psycopg")


class UnfitMachineError(Exception):
    """The figures would not mean anything here; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Cores:
    """The subject has one core for itself; stub, load and stores share the other."""

    subject: int
    load: int


def choose_cores(*, force: bool) -> Cores:
    """Two cores that we may use and that nobody else is using.

    Raises:
        UnfitMachineError: fewer than two cores, a missing tool, or (without ``force``) other work on the two.
    """
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        raise UnfitMachineError("two cores are needed: one for the subject, one for the stub and the load")
    cores = Cores(*allowed[:2])
    _insist_on_tools()
    if not force and (complaint := _other_work(cores)):
        raise UnfitMachineError(f"{complaint}: wait until it has ended, or measure all the same with --force")
    return cores


def settle_on(cores: Cores) -> None:
    """Pin this process (the load) to its core, with exact timers and as many descriptors as the system allows."""
    os.sched_setaffinity(0, {cores.load})
    Path("/proc/self/timerslack_ns").write_text("1")  # else the kernel may wake us 50 µs late, to save power
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def describe(cores: Cores) -> dict[str, object]:
    """What a reader of the figures must know about the machine and the versions."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "subject_core": cores.subject,
        "load_core": cores.load,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_average": os.getloadavg(),
        "nginx": _first_line([nginx.BINARY, "-v"]),
        "wrk": _first_line(["wrk", "-v"]),
        **{name: version(name) for name in PACKAGES},
    }


def _insist_on_tools() -> None:
    for tool, package in ((nginx.BINARY, "nginx"), ("wrk", "wrk"), ("taskset", "util-linux")):
        if shutil.which(tool) is None:
            raise UnfitMachineError(f"{tool} is missing: install the package {package}")


def _other_work(cores: Cores) -> str:
    """Other work now, by looking for a second; the load average alone would also remember what has ended."""
    before = [processes.busy_seconds(core) for core in (cores.subject, cores.load)]
    time.sleep(OBSERVED_SECONDS)
    after = [processes.busy_seconds(core) for core in (cores.subject, cores.load)]
    shares = [(late - early) / OBSERVED_SECONDS for early, late in zip(before, after, strict=True)]
    if max(shares) <= QUIET_SHARE:
        return ""
    busy = ", ".join(f"{share:.0%}" for share in shares)
    return f"other work runs here (cores busy {busy}, load average {os.getloadavg()[0]:.2f})"


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _first_line(command: list[str]) -> str:
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    return (finished.stdout + finished.stderr).splitlines()[0]
