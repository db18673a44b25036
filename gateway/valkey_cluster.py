"""A Valkey cluster behind the interface of one server: each call goes to the process that has its keys.

All keys of an account carry one hash tag, so a function finds them in one place. Who has which slot is learned when we
connect, and again whenever a server sends us on (``MOVED``) or one is lost. Source: Valkey's "Cluster specification".
"""

import asyncio
import logging
from binascii import crc_hqx
from functools import lru_cache
from typing import Protocol, TypeVar, cast
from urllib.parse import urlsplit

from apps.core.errors import ConfigurationError, LeakyError, StoreUnavailable
from gateway.valkey import Argument, FunctionCall, Reply, Valkey, ValkeyReplyError

log = logging.getLogger(__name__)

T = TypeVar("T")

SLOTS = 16_384
MOST_REDIRECTIONS = 4
LOOK_AGAIN_SECONDS = 0.2
_SCHEMES = {"redis+cluster": "redis", "rediss+cluster": "rediss"}


class Store(Protocol):
    """What the gateway asks of the quota store, one server or a cluster."""

    async def call(self, *args: Argument) -> Reply:
        """Run one command. On a cluster its first argument must be its key."""

    async def call_function(self, call: FunctionCall[T]) -> T:
        """Run a function of the library."""

    async def ping(self) -> None:
        """Return when the store has answered, or raise StoreUnavailable."""

    def run_id_of(self, key: str) -> str:
        """The ``run_id`` of the process that has this key; empty when nobody knows it."""

    async def close(self) -> None:
        """Close the connections."""


async def connect(url: str, *, timeout_s: float, library: str) -> Store:
    """Connect to one server or, by a URL of ``redis+cluster://``, to a cluster.

    Raises:
        ConfigurationError, ValkeyReplyError, StoreUnavailable
    """
    if urlsplit(url).scheme in _SCHEMES:
        return await ValkeyCluster.connect(url, timeout_s=timeout_s, library=library)
    return await Valkey.connect(url, timeout_s=timeout_s, library=library)


class ValkeyCluster:
    """A client of a cluster. Made by :meth:`connect`, ended by :meth:`close`."""

    def __init__(self, url: str, *, timeout_s: float, library: str) -> None:
        parts = urlsplit(url)
        user, _, hosts = parts.netloc.rpartition("@")
        if parts.scheme not in _SCHEMES or not hosts or parts.path not in ("", "/", "/0") or parts.query:
            raise ConfigurationError("a cluster's URL is redis+cluster://[user][:password]@host:port,host:port…")
        self._prefix = f"{_SCHEMES[parts.scheme]}://" + (f"{user}@" if user else "")
        self._known = hosts.split(",")
        self._timeout_s, self._library = timeout_s, library
        self._nodes: dict[str, Valkey] = {}
        self._owners: list[Valkey | None] = [None] * SLOTS
        self._looking: asyncio.Task[None] | None = None
        self._one_look = asyncio.Lock()
        self._closing = False

    @classmethod
    async def connect(cls, url: str, *, timeout_s: float = 0.1, library: str = "") -> "ValkeyCluster":
        """Connect to whoever of the named servers answers, and learn of the others.

        Raises:
            ConfigurationError: the URL is not one of ours.
            StoreUnavailable: none of them answers.
        """
        cluster = cls(url, timeout_s=timeout_s, library=library)
        try:
            await cluster._look()
        except LeakyError:
            await cluster.close()
            raise
        return cluster

    async def call(self, *args: Argument) -> Reply:
        """Run one command on the server that has ``args[1]``, its key.

        Raises:
            ValkeyReplyError, StoreUnavailable: as :meth:`Valkey.call`.
        """
        slot = slot_of(cast("str", args[1]))
        try:
            return await self._owner(slot).call(*args)
        except StoreUnavailable:
            self._look_again()
            raise
        except ValkeyReplyError as error:
            node, _ = await self._redirected(error)
        return await node.call(*args)

    async def call_function(self, call: FunctionCall[T]) -> T:
        """Run a function on the server that has its keys.

        Raises:
            ValkeyReplyError, StoreUnavailable: as :meth:`Valkey.call_function`.
        """
        node, asking = self._owner(slot_of(call.keys[0])), False
        for _ in range(MOST_REDIRECTIONS):
            try:
                return await node.call_function(call, asking=asking)
            except StoreUnavailable:
                self._look_again()
                raise
            except ValkeyReplyError as error:
                node, asking = await self._redirected(error)
        raise StoreUnavailable("the servers of the cluster send us to one another")

    async def ping(self) -> None:
        """Return when every server that has slots has answered, and none is without.

        Raises:
            StoreUnavailable
        """
        if None in self._owners:
            self._look_again()
            raise StoreUnavailable("slots of the cluster are served by nobody")
        await asyncio.gather(*(node.ping() for node in set(cast("list[Valkey]", self._owners))))

    def run_id_of(self, key: str) -> str:
        """The ``run_id`` of the process that has this key; empty when nobody knows it."""
        owner = self._owners[slot_of(key)]
        return owner.run_id if owner is not None and owner.connected else ""

    async def close(self) -> None:
        """Close the connections; calls in flight fail with ``StoreUnavailable``."""
        self._closing = True
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        await asyncio.gather(*(node.close() for node in self._nodes.values()))

    def _owner(self, slot: int) -> Valkey:
        owner = self._owners[slot]
        if owner is None or not owner.connected:
            self._look_again()
            raise StoreUnavailable("no connection to the server of this slot")
        return owner

    async def _redirected(self, error: ValkeyReplyError) -> tuple[Valkey, bool]:
        """Where a server sends us, and whether only for this once; any other refusal is raised again."""
        if error.word not in ("MOVED", "ASK"):
            raise error
        _, slot, address = str(error).split(" ")
        node = await self._node(address)
        if error.word == "MOVED":
            self._owners[int(slot)] = node
            self._look_again()
        return node, error.word == "ASK"

    async def _node(self, address: str) -> Valkey:
        if address not in self._nodes:
            node = await Valkey.connect(f"{self._prefix}{address}/0", timeout_s=self._timeout_s, library=self._library)
            if address in self._nodes:  # Somebody else was as fast.
                await node.close()
            else:
                self._nodes[address] = node
        return self._nodes[address]

    def _look_again(self) -> None:
        """Learn anew who has what, in the background, once for all who ask."""
        if not self._closing and (self._looking is None or self._looking.done()):
            self._looking = asyncio.get_running_loop().create_task(self._look_until_whole())

    async def _look_until_whole(self) -> None:
        while not self._closing:
            try:
                await self._look()
            except LeakyError as error:
                log.warning("valkey cluster not learned: %s", error)
            if all(owner is not None and owner.connected for owner in self._owners):
                return
            await asyncio.sleep(LOOK_AGAIN_SECONDS)

    async def _look(self) -> None:
        """Take over the map of the first server that has one; who owns nothing any more is let go.

        Raises:
            StoreUnavailable: no server answered.
        """
        async with self._one_look:
            ranges = await self._ask_for_map()
            owners: list[Valkey | None] = [None] * SLOTS
            for first, last, address in ranges:
                owners[first : last + 1] = [await self._node_if_there(address)] * (last + 1 - first)
            self._owners = owners
            self._known = sorted({address for _, _, address in ranges} | set(self._known))
            await self._let_go({address for _, _, address in ranges})

    async def _ask_for_map(self) -> list[tuple[int, int, str]]:
        failure: LeakyError = StoreUnavailable("no server of the cluster answers")
        for address in [*self._nodes, *(known for known in self._known if known not in self._nodes)]:
            try:
                reply = await (await self._node(address)).call("CLUSTER", "SLOTS")
            except LeakyError as error:
                failure = error
                continue
            if ranges := _ranges(cast("list[list[Reply]]", reply), address):
                return ranges
        raise StoreUnavailable(f"nobody tells who serves the cluster: {failure}")

    async def _node_if_there(self, address: str) -> Valkey | None:
        try:
            return await self._node(address)
        except LeakyError:
            return None

    async def _let_go(self, owning: set[str]) -> None:
        for address in self._nodes.keys() - owning:
            await self._nodes.pop(address).close()


def _ranges(reply: list[list[Reply]], asked: str) -> list[tuple[int, int, str]]:
    """First and last slot and the primary's address; a server that does not say its host has the one we asked."""
    host = asked.rpartition(":")[0]
    ranges = []
    for first, last, primary, *_ in cast("list[tuple[int, int, list[Reply]]]", reply):
        said, port = cast("tuple[bytes | None, int]", tuple(primary[:2]))
        ranges.append((first, last, f"{said.decode() if said else host}:{port}"))
    return ranges


def slot_of(key: str) -> int:
    """The slot of a key: of what stands within its first braces, if anything does."""
    begin = key.find("{")
    end = key.find("}", begin + 1)
    return _slot(key[begin + 1 : end] if begin >= 0 and end > begin + 1 else key)


@lru_cache(maxsize=1024)
def _slot(tag: str) -> int:
    return crc_hqx(tag.encode(), 0) % SLOTS
