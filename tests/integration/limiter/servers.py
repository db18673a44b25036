"""Valkeys of a test's own: one with little memory, one to kill, a cluster of three."""

import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import redis

from leaky_tokens.local.ports import free_port
from leaky_tokens.local.valkey import QUOTA, Valkey

SLOTS = 16_384
PATIENCE_SECONDS = 30


@dataclass
class Server:
    """A Valkey that can be killed and started again on its data."""

    valkey: Valkey
    process: subprocess.Popen[bytes] = field(init=False)

    def start(self) -> None:
        command = self.valkey.command()
        with (self.valkey.data / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        wait_until(self.valkey.is_ready)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(timeout=10)

    @contextmanager
    def client(self) -> Iterator[redis.Redis]:
        with redis.Redis.from_url(self.valkey.url()) as client:
            yield client


@contextmanager
def started(data: Path, **settings: str) -> Iterator[Server]:
    server = Server(Valkey(data, free_port(), secrets.token_hex(8), QUOTA | settings))
    server.start()
    try:
        yield server
    finally:
        server.kill()


@contextmanager
def cluster_of_three(data: Path) -> Iterator[tuple[str, Sequence[Server]]]:
    """The cluster's URL and its servers. All have one password, and each a third of the slots."""
    password = secrets.token_hex(8)
    settings = QUOTA | {"cluster-enabled": "yes", "primaryauth": password}
    with ExitStack() as stack:
        servers = [Server(Valkey(data / str(number), free_port(), password, settings)) for number in range(3)]
        for server in servers:
            server.start()
            stack.callback(server.kill)
        clients = [stack.enter_context(server.client()) for server in servers]
        introduce(servers, clients)
        yield servers[0].valkey.url().replace("redis://", "redis+cluster://").removesuffix("/0"), servers


def introduce(servers: Sequence[Server], clients: Sequence[redis.Redis]) -> None:
    bounds = [SLOTS * number // len(clients) for number in range(len(clients) + 1)]
    for number, client in enumerate(clients):
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", bounds[number], bounds[number + 1] - 1)
        client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
    for server in servers[1:]:
        clients[0].execute_command("CLUSTER", "MEET", "127.0.0.1", server.valkey.port)
    wait_until(lambda: all(knows_all(client, len(clients)) for client in clients))


def knows_all(client: redis.Redis, nodes: int) -> bool:
    info = client.execute_command("CLUSTER", "INFO")
    text = info.decode() if isinstance(info, bytes) else str(info)
    return ("cluster_state:ok" in text or "'cluster_state': 'ok'" in text) and all(
        word in text for word in (f"{SLOTS}", f"{nodes}")
    )


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("what was waited for did not come")
        time.sleep(0.01)
