"""A run again, call by call, on the shipped Lua in a real Valkey: the same replies, the same data in the end."""

from collections.abc import Iterator
from typing import Any

import redis

from apps.limiter.api import LIBRARY
from apps.limiter.twin import dump_of
from simulator.simulation import Simulation
from simulator.valkeys import FLUSH, OTHER_VERSION, Recorded

AT_ONCE = 2_000
"""Calls that are sent together."""


def load(client: redis.Redis) -> None:
    """Both versions of the library, side by side as during an upgrade."""
    client.function_load(LIBRARY.text, replace=True)
    client.function_load(LIBRARY.text.replace(LIBRARY.version, OTHER_VERSION), replace=True)


def differences(simulation: Simulation, client: redis.Redis) -> Iterator[str]:
    """What differs between the Twin of each server of a run and a real Valkey that has had the same calls.

    ``client`` is of a database that nobody else uses; it is emptied.
    """
    for server in simulation.valkeys.servers:
        client.flushdb()
        for recorded, reply in _repeat(server.history, client):
            if reply != recorded.reply:
                yield f"{server.name}: {recorded} was answered {reply!r}"
        if dump_of(client) != server.twin.dump():
            yield f"{server.name}: the data differ in the end"


def calls_of(simulation: Simulation) -> int:
    """How many calls a comparison repeats."""
    return sum(len(server.history) for server in simulation.valkeys.servers)


def _repeat(history: list[Recorded], client: redis.Redis) -> Iterator[tuple[Recorded, Any]]:
    for start in range(0, len(history), AT_ONCE):
        some = history[start : start + AT_ONCE]
        yield from zip(some, _replies(some, client), strict=True)


def _replies(history: list[Recorded], client: redis.Redis) -> Iterator[Any]:
    """Keys whose time had come are deleted first: the real server's clock is another."""
    pipeline, places = client.pipeline(transaction=False), []
    for call in history:
        for key in call.expired:
            pipeline.delete(key)
        places.append(len(pipeline))
        if call.function == FLUSH:
            pipeline.flushdb()
        else:
            pipeline.fcall(call.function, len(call.keys), *call.keys, *call.args)
    replies = pipeline.execute(raise_on_error=False)
    return (None if call.function == FLUSH else replies[place] for call, place in zip(history, places, strict=True))
