"""The whole start, top to bottom: stores, migrations, demonstration data beside the processes, readiness, the table.

It is one coroutine. While it waits at its end the system runs; cancelling it, by a signal or because a program gave
up, unwinds it, and each ``async with`` stops what it started: the processes first, then the stores.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from rich.console import Console

from leaky_tokens.local import generated, lock, migrations, processes, stores
from leaky_tokens.local.errors import RunFailed
from leaky_tokens.local.facts import Facts
from leaky_tokens.local.guard import guarded
from leaky_tokens.local.place import Place
from leaky_tokens.local.screen import Screen, show_table
from leaky_tokens.local.supervisor import Supervisor

CREDENTIALS = "demo.json"
SEEDED = "seeded.json"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Report:
    """Tells the screen and ``run.json`` what the supervisor sees."""

    screen: Screen
    facts: Facts

    def note(self, text: str) -> None:
        """For the screen only."""
        self.screen.note(text)

    def started(self, name: str, pid: int) -> None:
        """A process exists."""
        self.screen.started(name)
        self.facts.started(name, pid)

    def ready(self, name: str, seconds: float) -> None:
        """A process answers."""
        self.screen.ready(name, seconds)
        self.facts.ready(name)

    def crashed(self, name: str, code: int, tail: list[str], pause: float) -> None:
        """A process ended by itself."""
        self.screen.crashed(name, code, tail, pause)
        self.facts.gone(name)


Line = Callable[[Place, Report], Awaitable[None]]
"""What a run does, until it is cancelled."""


def launch(place: Place, output: Console, line: Line) -> int:
    """Follow ``line`` until a signal ends it (0) or it cannot go on (1). The caller holds the supervisor's lock."""
    report = Report(Screen(output), Facts(place))
    code = 0
    try:
        report.facts.learn()
        asyncio.run(_until_told_to_stop(place, report, line))
    except* RunFailed as failed:
        code = 1
        report.screen.quiet()
        for reason in reasons(failed):
            output.print(reason, markup=False, soft_wrap=True, style="red")
    finally:
        report.screen.quiet()
        report.facts.forget()
    return code


def reasons(failed: BaseExceptionGroup[RunFailed]) -> list[str]:
    """What went wrong, each once: several programs may have failed at the same time, in nested groups."""
    return [
        text
        for error in failed.exceptions
        for text in (reasons(error) if isinstance(error, BaseExceptionGroup) else [str(error)])
    ]


async def _until_told_to_stop(place: Place, report: Report, line: Line) -> None:
    main, loop = asyncio.current_task(), asyncio.get_running_loop()
    told: list[signal.Signals] = []

    def stop(number: signal.Signals) -> None:
        if not told and main:  # Stopping is bounded in time; a second Ctrl-C must not cut it short.
            told.append(number)
            main.cancel()

    for number in SIGNALS:
        loop.add_signal_handler(number, stop, number)
    try:
        await line(place, report)
    except asyncio.CancelledError:
        if not told:
            raise
        report.screen.note(f"stopped ({told[0].name})")


async def the_system(place: Place, report: Report) -> None:
    """The straight line of `make run`."""
    inherited = await asyncio.to_thread(lock.wait_until_left, place)
    secrets = generated.generated_secrets(place)
    chosen = stores.choose(place, os.environ, secrets)
    ports = processes.choose_ports(place, os.environ)
    urls = ports.urls()
    environment = _environment(secrets, chosen, urls["gateway"])
    gateways_own = _gateways_own(secrets)
    report.facts.learn(
        gateway_url=urls["gateway"], console_url=urls["console"], services_url=urls["services"],
        stubs={"openai": urls["stub-openai"]}, stores=chosen.urls,
    )  # fmt: skip
    supervisor = Supervisor(place, inherited, report)
    place.empty("metrics")  # Of dead processes: Prometheus' client would go on adding them up.
    await asyncio.to_thread(chosen.initialise)
    async with supervisor.running(chosen.programs()):
        await _migrate(supervisor, chosen, environment)
        async with asyncio.TaskGroup() as beside:
            seeding = beside.create_task(_seed(supervisor, urls["stub-openai"], environment))
            async with supervisor.running(processes.programs(place, ports, environment, gateways_own)):
                await seeding
                report.facts.complete(**place.read(CREDENTIALS))
                report.screen.note("ready")
                show_table(report.screen.output, place.read("run.json"))
                await asyncio.get_running_loop().create_future()


def _environment(secrets: dict[str, str], chosen: stores.Stores, gateway_url: str) -> dict[str, str]:
    """What every process gets. What the developer has set wins over what we generate."""
    set_by_developer = {name: value for name, value in os.environ.items() if name not in generated.GATEWAYS_OWN}
    return {
        **generated.for_processes(secrets),
        "LEAKY_PUBLIC_URL": gateway_url,
        **set_by_developer,
        "DJANGO_SETTINGS_MODULE": "leaky_tokens.settings.dev",
        **chosen.environment(),
        "PYTHONUNBUFFERED": "1",
    }


def _gateways_own(secrets: dict[str, str]) -> dict[str, str]:
    own = generated.for_gateways(secrets)
    return own | {name: os.environ[name] for name in own if name in os.environ}


async def _migrate(supervisor: Supervisor, chosen: stores.Stores, environment: dict[str, str]) -> None:
    """As the owner, and only when something is missing: the question is cheaper than the command."""
    await asyncio.to_thread(chosen.make_usable)
    owner_url = chosen.urls["postgresql-owner"]
    if await asyncio.to_thread(migrations.are_pending, owner_url):
        supervisor.watcher.note("migrating")
        await supervisor.execute("migrate", _manage("migrate"), environment | {"DATABASE_URL": owner_url})


async def _seed(supervisor: Supervisor, stub_url: str, environment: dict[str, str]) -> None:
    """The demonstration organisation, its key and its grant, once for a database and a stub's address."""
    seeded = {"database": environment["DATABASE_URL"], "stub": stub_url}
    if supervisor.place.read(SEEDED) == seeded and supervisor.place.read(CREDENTIALS):
        return
    credentials = str(supervisor.place.file(CREDENTIALS))
    command = _manage("seed_demo", "--credentials", credentials, "--stub-url", stub_url)
    await supervisor.execute("seed", command, environment)
    supervisor.place.write(SEEDED, seeded)


def _manage(*arguments: str) -> list[str]:
    return guarded([sys.executable, "manage.py", *arguments], signal.SIGKILL)
