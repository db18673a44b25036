"""``python -m leaky_tokens.local run|stop|status|logs|reset``: what the Makefile calls."""

import argparse
import os
import sys
from pathlib import Path

from leaky_tokens.local import lock
from leaky_tokens.local.errors import RunFailed
from leaky_tokens.local.facts import READY
from leaky_tokens.local.place import ROOT, Place
from leaky_tokens.local.screen import console, show_table
from leaky_tokens.local.system import System

NOT_RUNNING, NOT_READY = 3, 4
"""Exit codes of ``status``; 0 is ready."""

LOOK_SECONDS = 0.2
"""Whoever only looks whether a system runs holds its lock for an instant; whoever runs one holds it for longer."""


def main() -> int:
    """Carry out one command; its exit code."""
    arguments = _arguments()
    place = Place(Path(os.environ.get("LEAKY_LOCAL") or ROOT / ".local").resolve())
    system = System(place.root, os.environ)
    try:
        match arguments.command:
            case "run":
                return _run_in_background(system) if arguments.detach else _run(place, system)
            case "stop":
                return _stop(system)
            case "status":
                return _status(system)
            case "logs":
                return _follow(place, arguments.service)
            case _:
                return _reset(system, asked=not arguments.yes)
    except RunFailed as failed:
        console().print(str(failed), markup=False, soft_wrap=True, style="red")
        return 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="leaky_tokens.local", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("run").add_argument("--detach", action="store_true", help="return when everything is ready")
    commands.add_parser("stop")
    commands.add_parser("status")
    commands.add_parser("logs").add_argument("service", nargs="?", help="one process; without it, all")
    commands.add_parser("reset").add_argument("--yes", action="store_true", help="do not ask")
    return parser.parse_args()


def _run(place: Place, system: System) -> int:
    """In the foreground. When a system runs here already, point at it: that is what was wanted."""
    place.prepare()
    if lock.take_within(place, lock.SUPERVISOR, LOOK_SECONDS) is None:
        return _point_at(system)
    from leaky_tokens.local.launch import launch, the_system  # noqa: PLC0415 (what only a supervisor needs is slow)

    return launch(place, console(), the_system)


def _run_in_background(system: System) -> int:
    if system.facts:
        return _point_at(system)
    system.start()
    return _show(system)


def _point_at(system: System) -> int:
    console().print("a system runs here already (`make stop` ends it):")
    return _show(system)


def _show(system: System) -> int:
    if facts := system.facts:
        show_table(console(), facts)
    return 0


def _stop(system: System) -> int:
    console().print("stopped" if system.stop() else "nothing runs here")
    return 0


def _status(system: System) -> int:
    facts = system.facts
    if not facts:
        console().print("nothing runs here: `make run`")
        return NOT_RUNNING
    show_table(console(), facts)
    return 0 if facts["status"] == READY else NOT_READY


def _follow(place: Place, service: str | None) -> int:
    """Become ``tail``: the logs may be followed while nothing runs, and go on when it does."""
    logs = [place.log(service)] if service else sorted((place.root / "logs").glob("*.log"))
    if not logs or not all(log.exists() for log in logs):
        known = ", ".join(sorted(log.stem for log in (place.root / "logs").glob("*.log")))
        raise RunFailed(f"no log of {service or 'anything'} here; there are: {known or 'none'}")
    os.execvp("tail", ["tail", "-n", "20", "-F", *map(str, logs)])  # noqa: S606 (no shell is the point)


def _reset(system: System, *, asked: bool) -> int:
    root = system.place.root
    if asked and input(f"Delete the data, secrets and logs under {root}? [y/N] ").strip().lower() != "y":
        console().print("nothing was deleted")
        return 1
    system.reset()
    console().print(f"{root} is empty but for the tools")
    return 0


if __name__ == "__main__":
    sys.exit(main())
