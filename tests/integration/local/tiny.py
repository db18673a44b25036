"""A run of real stores and tiny programs, under the real launcher: ``python -m … <directory> <program…>``.

A tiny program writes ``ready.<pid>`` when it is ready and its name to ``stopped`` when it is asked to stop.
"""

import asyncio
import signal
import sys
from functools import partial
from pathlib import Path

from leaky_tokens.local import lock, stores
from leaky_tokens.local.generated import generated_secrets
from leaky_tokens.local.guard import guarded
from leaky_tokens.local.launch import Report, launch
from leaky_tokens.local.place import Place
from leaky_tokens.local.screen import console
from leaky_tokens.local.supervisor import Program, Supervisor

STEADY = """
import os, pathlib, signal, sys
def stop(number, frame):
    with open("{place}/stopped", "a") as stream:
        stream.write("{name}\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
pathlib.Path("{place}/ready.{name}").touch()
print("{name} says hello", flush=True)
while True:
    signal.pause()
"""
STUBBORN = """
import pathlib, signal, subprocess, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen(["sleep", "1000"])
pathlib.Path("{place}/child").write_text(str(child.pid))
pathlib.Path("{place}/ready.{name}").touch()
time.sleep(1000)
"""
BROKEN = """
import sys
sys.exit("{name} cannot read its configuration")
"""
SHORT_LIVED = """
import pathlib, sys, time
pathlib.Path("{place}/ready.{name}").touch()
time.sleep(0.1)
sys.exit("{name} lost its mind")
"""
SOURCES = {"steady": STEADY, "stubborn": STUBBORN, "broken": BROKEN, "short-lived": SHORT_LIVED}


def program(place: Place, name: str) -> Program:
    ready = place.file(f"ready.{name}")
    ready.unlink(missing_ok=True)
    source = SOURCES[name].format(place=place.root, name=name)
    return Program(name, guarded([sys.executable, "-c", source], signal.SIGKILL), ready.exists, stop_seconds=1)


async def tiny_line(place: Place, report: Report, *, names: list[str]) -> None:
    inherited = lock.wait_until_left(place)
    chosen = stores.choose(place, {}, generated_secrets(place))
    report.facts.learn(gateway_url="http://127.0.0.1:1", console_url="http://127.0.0.1:2", stores=chosen.urls)
    supervisor = Supervisor(place, inherited, report, first_pause=0.05)
    chosen.initialise()
    programs = [program(place, name) for name in names]
    async with supervisor.running(chosen.programs()), supervisor.running(programs):
        report.facts.complete()
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    here = Place(Path(sys.argv[1]))
    here.prepare()
    held = lock.take(here, lock.SUPERVISOR)
    assert held is not None
    sys.exit(launch(here, console(), partial(tiny_line, names=sys.argv[2:])))
