"""``python -m tests.faults.site.roads``: the process in which a site's proxies work, told what to do in JSON lines.

A process of its own, because the load of a test would otherwise slow its proxies down, and they the stores.
"""

import asyncio
import json
import signal
import subprocess
import sys

import uvloop

from leaky_tokens.local.guard import guarded
from leaky_tokens.local.place import ROOT
from leaky_tokens.local.ports import free_port
from tests.faults.site.proxy import Proxy


class Roads:
    """The process, seen from the tests."""

    def __init__(self) -> None:
        command = guarded([sys.executable, "-m", "tests.faults.site.roads"], signal.SIGKILL)
        self._popen = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def proxy(self, target: int) -> "Road":
        """A new proxy in front of the server on this port."""
        road = Road(self, target)
        self.tell(road.port, "open", target)
        return road

    def tell(self, port: int, verb: str, *arguments: float) -> None:
        """Return when it is done."""
        assert self._popen.stdin is not None
        assert self._popen.stdout is not None
        self._popen.stdin.write(json.dumps([port, verb, *arguments]).encode() + b"\n")
        self._popen.stdin.flush()
        answer = self._popen.stdout.readline()
        assert answer == b"done\n", f"the proxies' process ended at {verb}"

    def close(self) -> None:
        """End the process, and with it every connection."""
        self._popen.kill()
        self._popen.communicate()


class Road:
    """A proxy in that process; see :class:`~tests.faults.site.proxy.Proxy` for what the verbs do."""

    def __init__(self, roads: Roads, target: int) -> None:
        self.port = free_port()
        self._roads = roads
        self._home = target

    def cut(self) -> None:
        self._roads.tell(self.port, "cut")

    def refuse(self) -> None:
        self._roads.tell(self.port, "refuse")

    def delay(self, seconds: float) -> None:
        self._roads.tell(self.port, "delay", seconds)

    def blackhole(self) -> None:
        self._roads.tell(self.port, "blackhole")

    def half_open(self) -> None:
        self._roads.tell(self.port, "half_open")

    def cut_after(self, answer_bytes: int) -> None:
        self._roads.tell(self.port, "cut_after", answer_bytes)

    def point_at(self, target: int) -> None:
        self._roads.tell(self.port, "point_at", target)

    def move_to(self, target: int) -> None:
        """As :meth:`point_at`, for good, and old connections are reset."""
        self._home = target
        self.point_at(target)
        self.cut()

    def heal(self) -> None:
        """Pass everything on again, to where it went at first. A connection that has lost bytes is reset."""
        self.point_at(self._home)
        self._roads.tell(self.port, "heal")


async def main() -> None:
    """Do what the tests say until they end."""
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    proxies: dict[int, Proxy] = {}
    while line := await lines.readline():
        await _do(proxies, *json.loads(line))
        print("done", flush=True)  # noqa: T201 (the answer that the tests wait for)


async def _do(proxies: dict[int, Proxy], port: int, verb: str, *arguments: float) -> None:
    if verb == "open":
        proxies[port] = Proxy(port, int(arguments[0]))
        await proxies[port].listen()
    else:
        await getattr(proxies[port], verb)(*arguments)


if __name__ == "__main__":
    uvloop.run(main())
