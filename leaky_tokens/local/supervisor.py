"""Keeps programs running: started together, asked until each answers, restarted when they crash, ended together.

A program is one asyncio task (:func:`_keep`) in a task group. Ending the body of ``async with running(…)``, by an
exception, a signal or Ctrl-C, cancels the tasks, and a cancelled task stops its program before it goes. Nothing else
has to remember to clean up.
"""

import asyncio
import os
import signal
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Protocol

from leaky_tokens.local.errors import RunFailed
from leaky_tokens.local.place import ROOT, Place

LONGEST_PAUSE = 10.0
CRASHES_ALLOWED, CRASH_WINDOW = 5, 60.0
ASK_EVERY = 0.05


@dataclass(frozen=True, slots=True)
class Program:
    """What to run and how to know that it works. Seconds are wall clock."""

    name: str
    command: list[str]
    is_ready: Callable[[], bool]
    environment: dict[str, str] = field(default_factory=dict)
    stop_signal: signal.Signals = signal.SIGTERM
    start_seconds: float = 60
    stop_seconds: float = 3


class Watcher(Protocol):
    """Who wants to hear of the programs (the screen and ``run.json``)."""

    def note(self, text: str) -> None:
        """Something else that the developer may want to see."""

    def started(self, name: str, pid: int) -> None:
        """The process exists; it answers nothing yet."""

    def ready(self, name: str, seconds: float) -> None:
        """It answered, ``seconds`` after its start."""

    def crashed(self, name: str, code: int, tail: list[str], pause: float) -> None:
        """It ended with ``code`` and will be started again after ``pause`` seconds."""


@dataclass(frozen=True, slots=True)
class Supervisor:
    """What all programs of a run share: their files, the descriptor that every child inherits, and the watcher."""

    place: Place
    inherited: int
    watcher: Watcher
    first_pause: float = 0.5

    @asynccontextmanager
    async def running(self, programs: list[Program]) -> AsyncIterator[None]:
        """Start all of ``programs`` at once, enter when each is ready, stop all of them on the way out.

        Raises:
            RunFailed: a program ended before it was ready, was not ready in time, or crashed too often.
        """
        ready = [asyncio.Event() for _ in programs]
        async with asyncio.TaskGroup() as group:
            keepers = [group.create_task(_keep(self, *pair)) for pair in zip(programs, ready, strict=True)]
            await asyncio.gather(*(event.wait() for event in ready))
            yield
            for keeper in keepers:  # Left without an exception; with one, the group itself cancels them.
                keeper.cancel()

    async def execute(self, name: str, command: list[str], environment: dict[str, str]) -> None:
        """Run a command to its end.

        Raises:
            RunFailed: it failed; with the end of its log.
        """
        process = await self._spawn(name, command, environment)
        try:
            code = await process.wait()
        finally:
            await _end(process, signal.SIGTERM, 1)
        if code != 0:
            raise RunFailed(_last_words(f"{name} failed", code, self.place.log_tail(name)))

    async def _spawn(self, name: str, command: list[str], environment: dict[str, str]) -> asyncio.subprocess.Process:
        """Start ``command`` in a session of its own, so that Ctrl-C in our terminal reaches only us."""
        with self.place.rotate_log(name).open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *command, cwd=ROOT, env=environment, start_new_session=True, pass_fds=(self.inherited,),
                stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=asyncio.subprocess.STDOUT,
            )  # fmt: skip


async def _keep(supervisor: Supervisor, program: Program, ready: asyncio.Event) -> None:
    """Run ``program`` until we are cancelled; start it again when it ends by itself."""
    crashes: deque[float] = deque(maxlen=CRASHES_ALLOWED)
    pause = supervisor.first_pause
    while True:
        started = time.monotonic()
        code = await _run_once(supervisor, program, ready)
        tail = supervisor.place.log_tail(program.name)
        if not ready.is_set():
            raise RunFailed(_last_words(f"{program.name} ended before it was ready", code, tail))
        crashes.append(time.monotonic())
        if len(crashes) == CRASHES_ALLOWED and crashes[-1] - crashes[0] < CRASH_WINDOW:
            raise RunFailed(_last_words(f"{program.name} crashed {CRASHES_ALLOWED} times within a minute", code, tail))
        # Whoever ran well for a minute starts over with the short pause.
        pause = supervisor.first_pause if crashes[-1] - started > CRASH_WINDOW else pause
        supervisor.watcher.crashed(program.name, code, tail, pause)
        await asyncio.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE)


async def _run_once(supervisor: Supervisor, program: Program, ready: asyncio.Event) -> int:
    """Start the program and wait for its end; its exit code. However we leave, its whole process group is gone."""
    started = time.monotonic()
    process = await supervisor._spawn(program.name, program.command, program.environment)  # noqa: SLF001
    supervisor.watcher.started(program.name, process.pid)
    ended = asyncio.ensure_future(process.wait())
    try:
        while not ended.done() and not await asyncio.to_thread(program.is_ready):
            if time.monotonic() - started > program.start_seconds:
                tail = supervisor.place.log_tail(program.name)
                raise RunFailed(_last_words(f"{program.name} not ready in {program.start_seconds:g} s", None, tail))
            await asyncio.wait([ended], timeout=ASK_EVERY)
        if not ended.done():
            ready.set()
            supervisor.watcher.ready(program.name, time.monotonic() - started)
        return await ended
    finally:
        await _end(process, program.stop_signal, program.stop_seconds)


async def _end(process: asyncio.subprocess.Process, stop_signal: signal.Signals, seconds: float) -> None:
    """Ask the process to end; after ``seconds``, or when it left children behind, kill its whole group."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.send_signal(stop_signal)
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), seconds)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


def _last_words(what: str, code: int | None, tail: list[str]) -> str:
    ending = f" ({describe(code)})" if code is not None else ""
    return "\n".join([f"{what}{ending}. The end of its log:", *(f"  {line}" for line in tail)])


def describe(code: int) -> str:
    """An exit code in words."""
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
