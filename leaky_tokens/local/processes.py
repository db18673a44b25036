"""Every process of ours that `make run` starts, one list. Ports are on 127.0.0.1."""

import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from leaky_tokens.local.errors import RunFailed
from leaky_tokens.local.guard import guarded
from leaky_tokens.local.place import Place
from leaky_tokens.local.ports import PORT_OF, choose_port
from leaky_tokens.local.probes import answers, beats
from leaky_tokens.local.stores import PORTS
from leaky_tokens.local.supervisor import Program

MOST_GATEWAYS = 64
BEHIND_THE_GATEWAY = ("auth", "token", "analytics")
"""The services that the gateway passes calls on to; here one process is all of them."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the processes listen."""

    gateway: int
    console: int
    services: int
    stub_openai: int

    def urls(self) -> dict[str, str]:
        """Process to base URL."""
        return {
            "gateway": f"http://127.0.0.1:{self.gateway}",
            "console": f"http://127.0.0.1:{self.console}",
            "services": f"http://127.0.0.1:{self.services}",
            "stub-openai": f"http://127.0.0.1:{self.stub_openai}",
        }


def choose_ports(place: Place, environment: Mapping[str, str]) -> Ports:
    """The ports of this run, remembered for the next.

    Raises:
        RunFailed: a port that the user gave is taken.
    """
    remembered = place.read(PORTS)
    chosen = {
        name: choose_port(
            variable, environment.get(variable, ""), preferred=preferred, remembered=int(remembered.get(name, 0))
        )
        for name, (variable, preferred) in PORT_OF.items()
    }
    place.write(PORTS, remembered | chosen)
    return Ports(chosen["gateway"], chosen["console"], chosen["services"], chosen["stub-openai"])


def programs(
    place: Place, ports: Ports, environment: Mapping[str, str], gateways_own: Mapping[str, str]
) -> list[Program]:
    """All processes, with ``environment`` (which has the stores and secrets) and what is each one's own.

    ``gateways_own`` holds the secrets of the gateways alone.

    Raises:
        RunFailed: ``GATEWAY_PROCESSES`` is no number between 1 and 64.
    """
    redis_url = environment["REDIS_URL"]
    return [
        *_gateways(place, ports, {**environment, **gateways_own}),
        _services(ports.services, environment),
        _console(ports.console, environment),
        _celery(
            "worker",
            ["--without-gossip", "--without-mingle", "--without-heartbeat"],
            beats(redis_url, "loop:expire_holds"),
            environment,
        ),
        _celery(
            "beat",
            ["--schedule", str(place.file("beat") / "schedule")],
            beats(redis_url, "beat:heartbeat"),
            environment,
        ),
        _stub_openai(place, ports.stub_openai, environment),
    ]


def _gateways(place: Place, ports: Ports, environment: Mapping[str, str]) -> list[Program]:
    """All on one port: the kernel spreads connections over them."""
    count = environment.get("GATEWAY_PROCESSES") or "1"
    if not (count.isdecimal() and 1 <= int(count) <= MOST_GATEWAYS):
        raise RunFailed(f"GATEWAY_PROCESSES={count} must be a number between 1 and {MOST_GATEWAYS}")
    names = ["gateway", *(f"gateway-{number}" for number in range(2, int(count) + 1))]
    own = {
        "GATEWAY_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(ports.gateway),
        "GATEWAY_SPOOL_DIR": environment.get("GATEWAY_SPOOL_DIR", str(place.file("spool"))),
        "GATEWAY_SERVICES": ",".join(f"{name}={ports.urls()['services']}" for name in BEHIND_THE_GATEWAY),
        "PROMETHEUS_MULTIPROC_DIR": str(place.file("metrics")),
    }
    return [_python(name, ["gateway"], answers(ports.gateway, "/readyz"), {**environment, **own}) for name in names]


def _services(port: int, environment: Mapping[str, str]) -> Program:
    return _django("services", "auth,token,analytics,registry,config", port, environment)


def _console(port: int, environment: Mapping[str, str]) -> Program:
    return _django("console", "console", port, environment)


def _django(name: str, served: str, port: int, environment: Mapping[str, str]) -> Program:
    command = ["uvicorn", "leaky_tokens.asgi:application", "--host", "127.0.0.1", "--port", str(port)]
    scope = "all" if served == "console" else "tenant"
    own = {"LEAKY_SERVICES": served, "LEAKY_DATABASE_SCOPE": scope, "DATABASE_POOL_SIZE": "10"}
    return _python(name, [*command, "--no-access-log"], answers(port, "/readyz"), {**environment, **own})


def _celery(name: str, arguments: list[str], is_ready: Callable[[], bool], environment: Mapping[str, str]) -> Program:
    return _python(name, ["celery", "-q", "-A", "workers.celery", name, *arguments], is_ready, environment)


def _stub_openai(place: Place, port: int, environment: Mapping[str, str]) -> Program:
    log = place.log("stub-openai").with_suffix(".requests.jsonl")
    command = ["gateway.stubs", "openai", "--host", "127.0.0.1", "--port", str(port), "--log", str(log)]
    return _python("stub-openai", command, answers(port, "/livez"), environment)


def _python(name: str, module: list[str], is_ready: Callable[[], bool], environment: Mapping[str, str]) -> Program:
    """A module of ours under this interpreter. Whatever happens to us, it does not outlive us."""
    command = guarded([sys.executable, "-m", *module], signal.SIGKILL)
    return Program(name, command, is_ready, dict(environment))
