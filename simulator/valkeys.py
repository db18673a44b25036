"""The Valkeys of a run: a primary with AOF points, a lagging replica, and the network between them and everybody.

A server keeps the history of the calls that led to its present state, so that a run can be repeated, call by call, on
the shipped Lua. What is cut off by a power loss, or was not yet at the replica, is cut off the history too.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeVar

from apps.core.errors import StoreUnavailable
from apps.limiter.api import LIBRARY, Call
from apps.limiter.twin import Twin
from simulator.data import copy_of
from simulator.world import Process, Steps, World

T = TypeVar("T")

EPOCH_MS = 4_000_000_000_000
"""Unix time at which every world begins: far ahead, so that no real server's clock ends a key of a repeated run."""

FLUSH = "FLUSHALL"

OTHER_VERSION = "01d0a1d0"
"""Of a library that is loaded beside ours, as during an upgrade; the Twin takes both for the same."""

CATCH_UP_MS = 4_000

LATENCY_MS = (1, 40)
LATEST_MS = 160_000
"""How long a message may be under way at most."""


class Recorded(NamedTuple):
    """One call as the Twin executed it; its last argument is its time. ``expired``: keys that went before it."""

    function: str
    keys: tuple[str, ...]
    args: tuple[str | int | bytes, ...]
    reply: object
    expired: tuple[str, ...] = ()


@dataclass(slots=True)
class Point:
    """A server's data at a moment: what an fsync, or a replica, has of it."""

    twin: Twin
    history: int


@dataclass(eq=False, slots=True)
class Server:
    """One Valkey: data, a run id that is new with every start, a clock of its own."""

    name: str
    twin: Twin
    run_id: str
    offset_ms: int = 0
    alive: bool = True
    history: list[Recorded] = field(default_factory=list)
    durable: Point | None = None
    touched: str = ""

    def clock(self, now: int) -> int:
        """What its clock says (Unix ms)."""
        return EPOCH_MS + now + self.offset_ms

    def execute(self, call: Call[T], run_id: str, now: int) -> object:
        """Run a function with this server's clock, and remember that."""
        timed = (run_id, *call.args[:-1], self.clock(now))
        expired = tuple(self.twin.expire(self.clock(now)))
        reply = self.twin.call(call.function, call.keys, timed)
        self.history.append(Recorded(call.function, call.keys, timed, reply, expired))
        self.touched = call.keys[0]
        return reply

    def point(self) -> Point:
        """A copy of what it has now."""
        return Point(copy_of(self.twin), len(self.history))

    def return_to(self, point: Point) -> None:
        """Have what it had then."""
        self.twin = copy_of(point.twin)
        del self.history[point.history :]

    def flush(self) -> None:
        """Forget everything, as FLUSHALL does."""
        self.twin = Twin()
        self.history.append(Recorded(FLUSH, (), (), None))


@dataclass(eq=False, slots=True)
class Valkeys:
    """Which servers there are, who talks to which, and what the network does to a message."""

    world: World
    always: bool
    loss: float = 0.0
    primary: Server = field(init=False)
    servers: list[Server] = field(default_factory=list)
    replica: Point | None = None
    routes: dict[str, Server] = field(default_factory=dict)
    other_version: frozenset[str] = frozenset()
    process: Process = field(default_factory=lambda: Process("network"))

    def __post_init__(self) -> None:
        self.primary = self._new_server(Twin())

    def _new_server(self, twin: Twin) -> Server:
        server = Server(f"valkey{len(self.servers)}", twin, self._new_run())
        self.servers.append(server)
        return server

    def _new_run(self) -> str:
        return f"{self.world.rng.getrandbits(160):040x}"

    def server_of(self, client: str) -> Server:
        """The server that a client takes for the primary; the true one once the other is dead."""
        server = self.routes.get(client, self.primary)
        if not server.alive:
            self.routes.pop(client, None)
            return self.primary
        return server

    def send(self, client: str, call: Call[T]) -> Steps[T]:
        """Run a call for ``client``: a trip there, a trip back; either may be lost, or the first late.

        Raises:
            StoreUnavailable: no server, or no answer. The call may have been executed all the same, or may be yet.
        """
        server = self.server_of(client)
        run_id = server.run_id
        if client in self.other_version:
            call = replace(call, function=call.function.replace(LIBRARY.version, OTHER_VERSION))
        yield self._trip()
        if self.world.chance(self.loss):
            yield from self._lose(server, run_id, call)
        if not server.alive or server.run_id != run_id:
            raise StoreUnavailable("the connection is gone")
        reply = server.execute(call, run_id, self.world.now)
        yield self._trip()
        if self.world.chance(self.loss):
            self.world.fault("reply lost", call.function)
            raise StoreUnavailable("the answer was lost")
        return call.decode(reply)

    def read(self, client: str, look: Callable[[Twin], T]) -> Steps[T]:
        """Look at a server's data by plain commands.

        Raises:
            StoreUnavailable: no server.
        """
        return (yield from self.read_with_run(client, look))[1]

    def read_with_run(self, client: str, look: Callable[[Twin], T]) -> Steps[tuple[str, T]]:
        """The same, with the run id of the connection. Raises as :meth:`read`."""
        server = self.server_of(client)
        run_id = server.run_id
        yield self._trip()
        if not server.alive or server.run_id != run_id:
            raise StoreUnavailable("the connection is gone")
        seen = look(server.twin)
        yield self._trip()
        return run_id, seen

    def clock_of(self, client: str) -> Steps[int]:
        """TIME. Raises as :meth:`read`."""
        server = self.server_of(client)
        yield from self.read(client, lambda twin: twin)
        return server.clock(self.world.now)

    def heal(self) -> None:
        """No split, no losses, everybody is there."""
        self.loss = 0.0
        self.routes.clear()
        for server in self.servers:
            server.alive = server is self.primary

    def _trip(self) -> int:
        return self.world.rng.randint(*LATENCY_MS)

    def _lose(self, server: Server, run_id: str, call: Call[T]) -> Steps[None]:
        """A message that the caller hears no more of: gone, or still in a buffer and executed later."""
        if self.world.chance(0.5):
            self.world.fault("message late", call.function)
            late = self._deliver(server, run_id, call)
            self.world.spawn(self.process, late, after=self.world.rng.randint(100, LATEST_MS))
        else:
            self.world.fault("message lost", call.function)
        yield 1_000
        raise StoreUnavailable("no answer in time")

    def _deliver(self, server: Server, run_id: str, call: Call[T]) -> Steps[None]:
        if server.alive and server.run_id == run_id:
            server.execute(call, run_id, self.world.now)
        yield from ()

    def fsync(self) -> None:
        """The disk has everything up to now; with ``appendfsync always`` it has that anyway."""
        if self.primary.alive and not self.always:
            self.primary.durable = self.primary.point()

    def replicate(self) -> None:
        """The replica has everything up to now; later writes it does not have yet."""
        self.replica = self.primary.point()

    def write_through(self) -> Steps[None]:
        """Now and then the disk catches up, and the replica: what is lost in between is a few seconds' work."""
        while True:
            yield int(self.world.rng.expovariate(1 / CATCH_UP_MS)) + 1
            if self.world.chance(0.5):
                self.fsync()
            else:
                self.replicate()

    def restart(self, *, power_loss: bool, away_ms: int) -> None:
        """The primary dies and comes back with what its disk has: all, unless the power failed between two fsyncs."""
        server = self.primary
        if power_loss and not self.always and server.durable:
            server.return_to(server.durable)
        server.alive, server.run_id = False, self._new_run()
        self.world.spawn(self.process, self._come_back(server), after=away_ms)

    def _come_back(self, server: Server) -> Steps[None]:
        server.alive = True
        yield from ()

    def flush(self) -> None:
        """FLUSHALL: no data, the same run id."""
        self.primary.flush()

    def fail_over(self, clients: Sequence[str], fenced_after_ms: int) -> None:
        """Promote the lagging replica; the old primary lives on, and some clients go on with it until it is fenced."""
        old = self.primary
        point = self.replica or Point(Twin(), 0)
        self.primary = self._new_server(copy_of(point.twin))
        self.primary.history = old.history[: point.history]
        self.primary.offset_ms = old.offset_ms
        self.replica = None
        if not old.alive:
            return
        for client in clients:
            self.routes[client] = old
        self.world.spawn(self.process, self._fence(old), after=fenced_after_ms)

    def _fence(self, server: Server) -> Steps[None]:
        if server.alive:
            server.alive = False
            self.world.log(f"{server.name} is fenced")
        yield from ()
