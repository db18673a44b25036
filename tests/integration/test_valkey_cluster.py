"""The gateway's client on a real cluster of three: every call finds its server, also when a slot has moved."""

import asyncio
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from apps.core.errors import ConfigurationError, StoreUnavailable
from gateway.valkey import Valkey
from gateway.valkey_cluster import SLOTS, ValkeyCluster, slot_of
from leaky_tokens.local.ports import free_port
from leaky_tokens.local.valkey import QUOTA
from leaky_tokens.local.valkey import Valkey as Server
from tests.integration.test_valkey_client import LIBRARY, Add

PASSWORD = "secret"
SETTINGS = QUOTA | {"cluster-enabled": "yes", "cluster-node-timeout": "1000", "masterauth": PASSWORD}
NODES = 3
PATIENCE_SECONDS = 20


class Node:
    """A server of the cluster, and a plain client of it."""

    def __init__(self, data: Path) -> None:
        port = free_port()
        while port > 55_000:  # The cluster's bus listens 10,000 above.
            port = free_port()
        self.server = Server(data, port, PASSWORD, SETTINGS)
        self.address = f"127.0.0.1:{port}"
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self.server.command(), stdout=subprocess.DEVNULL)
        while not self.server.is_ready():
            assert self.process.poll() is None, "the server ended"

    async def ask(self, *command: str | int) -> object:
        client = await Valkey.connect(self.server.url(), timeout_s=5)
        try:
            return await client.call(*command)
        finally:
            await client.close()


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Node]]:
    nodes = [Node(tmp_path_factory.mktemp(f"node{number}")) for number in range(NODES)]
    asyncio.run(join(nodes))
    yield nodes
    for node in nodes:
        node.process.kill()
        node.process.wait()


async def join(nodes: list[Node]) -> None:
    step = SLOTS // NODES + 1
    for number, node in enumerate(nodes):
        await node.ask("CLUSTER", "ADDSLOTSRANGE", number * step, min((number + 1) * step, SLOTS) - 1)
        await node.ask("CLUSTER", "MEET", *nodes[0].address.split(":"))
    for node in nodes:
        await until(node_is_whole, node)


async def node_is_whole(node: Node) -> bool:
    info = await node.ask("CLUSTER", "INFO")
    slots = await node.ask("CLUSTER", "SLOTS")
    return b"cluster_state:ok" in info and len({entry[2][1] for entry in slots}) == NODES


async def until(condition: Callable[..., object], *args: object) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            if await condition(*args):
                return
            await asyncio.sleep(0.02)


def url_of(nodes: list[Node]) -> str:
    return f"redis+cluster://:{PASSWORD}@{','.join(node.address for node in nodes)}"


@pytest.fixture
async def cluster(nodes: list[Node]) -> AsyncIterator[ValkeyCluster]:
    client = await ValkeyCluster.connect(url_of(nodes[:1]), timeout_s=5, library=LIBRARY)
    yield client
    await client.close()


def keys(prefix: str) -> list[str]:
    return [f"{{q{shard:02d}}}:{prefix}" for shard in range(64)]


async def test_slots_are_those_of_the_servers(nodes: list[Node]) -> None:
    for key in ("plain", "{q07}:purse:1", "{}empty", "{open", "a{b}c{d}"):
        assert await nodes[0].ask("CLUSTER", "KEYSLOT", key) == slot_of(key)


async def test_each_call_runs_where_its_keys_are(cluster: ValkeyCluster, nodes: list[Node]) -> None:
    replies = await asyncio.gather(*(cluster.call_function(Add(5, (key,))) for key in keys("sum")))
    assert [total for _, total in replies] == [5] * 64
    assert len({run_id for run_id, _ in replies}) == NODES
    assert [run_id for run_id, _ in replies] == [cluster.run_id_of(key) for key in keys("sum")]
    assert await asyncio.gather(*(cluster.call("GET", key) for key in keys("sum"))) == [b"5"] * 64
    await cluster.ping()


async def test_a_slot_that_has_moved_is_found(cluster: ValkeyCluster, nodes: list[Node]) -> None:
    key = "{q11}:moved"
    old_run, _ = await cluster.call_function(Add(1, (key,)))
    old = await having(nodes, old_run)
    new = next(node for node in nodes if node is not old)
    await give(slot_of(key), old, new, nodes)
    run_id, total = await cluster.call_function(Add(1, (key,)))
    assert (run_id != old_run, total) == (True, 1)  # It was moved empty, as after a loss.
    await until(is_known, cluster, key, run_id)
    assert await cluster.call("GET", key) == b"1"


async def test_a_slot_in_migration_is_asked_for_where_it_goes(cluster: ValkeyCluster, nodes: list[Node]) -> None:
    key = "{q23}:migrating"
    old = await having(nodes, (await cluster.call_function(Add(1, ("{q23}:other",))))[0])
    new = next(node for node in nodes if node is not old)
    old_id, new_id = [(await node.ask("CLUSTER", "MYID")).decode() for node in (old, new)]
    await new.ask("CLUSTER", "SETSLOT", slot_of(key), "IMPORTING", old_id)
    await old.ask("CLUSTER", "SETSLOT", slot_of(key), "MIGRATING", new_id)
    run_id, total = await cluster.call_function(Add(7, (key,)))
    assert (await having(nodes, run_id), total) == (new, 7)
    for node in (old, new):
        await node.ask("CLUSTER", "SETSLOT", slot_of(key), "STABLE")


async def test_a_server_that_is_away_takes_only_its_slots_along(cluster: ValkeyCluster, nodes: list[Node]) -> None:
    before = {key: cluster.run_id_of(key) for key in keys("sum")}
    gone = await having(nodes, before["{q00}:sum"])
    for node in nodes:
        await node.ask("CONFIG", "SET", "cluster-require-full-coverage", "no")
    gone.process.send_signal(signal.SIGKILL)
    gone.process.wait()
    replies = await asyncio.gather(*(cluster.call_function(Add(1, (key,))) for key in before), return_exceptions=True)
    for key, reply in zip(before, replies, strict=True):
        assert isinstance(reply, StoreUnavailable) == (before[key] == before["{q00}:sum"])
    with pytest.raises(StoreUnavailable):
        await cluster.ping()
    gone.start()
    await until(answers, cluster)
    assert cluster.run_id_of("{q00}:sum") not in before.values()


async def answers(cluster: ValkeyCluster) -> bool:
    try:
        await cluster.ping()
        return all([await cluster.call_function(Add(1, (key,))) for key in keys("sum")])
    except StoreUnavailable:
        return False


async def is_known(cluster: ValkeyCluster, key: str, run_id: str) -> bool:
    return cluster.run_id_of(key) == run_id


async def having(nodes: list[Node], run_id: str) -> Node:
    """The node whose process this is."""
    for node in nodes:
        if f"run_id:{run_id}".encode() in await node.ask("INFO", "server"):
            return node
    raise AssertionError(run_id)


async def give(slot: int, old: Node, new: Node, nodes: list[Node]) -> None:
    new_id = (await new.ask("CLUSTER", "MYID")).decode()
    for key in await old.ask("CLUSTER", "GETKEYSINSLOT", slot, 100):
        await old.ask("DEL", key.decode())
    for node in (new, old, *nodes):
        await node.ask("CLUSTER", "SETSLOT", slot, "NODE", new_id)


async def test_nobody_there_is_told_at_once() -> None:
    with pytest.raises(StoreUnavailable):
        await ValkeyCluster.connect(f"redis+cluster://127.0.0.1:{free_port()}")


@pytest.mark.parametrize("url", ["redis+cluster://", "redis+cluster://h:1/3", "redis+cluster://h:1?x=1"])
async def test_a_url_that_is_not_one_of_ours_is_refused(url: str) -> None:
    assert urlsplit(url).scheme == "redis+cluster"
    with pytest.raises(ConfigurationError):
        await ValkeyCluster.connect(url)
