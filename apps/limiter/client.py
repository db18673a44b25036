"""A client of the quota store that waits: for loops, commands and tests. The gateway has one of its own."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar, cast
from urllib.parse import urlsplit
from uuid import UUID

import redis
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.retry import Retry

from apps.core.errors import StoreUnavailable
from apps.limiter import keys
from apps.limiter.journal import MARK_FIELDS, Entry, Mark, decode_entry, decode_mark
from apps.limiter.messages import Purse
from apps.limiter.script import LIBRARY, Argument, Call, decode_purse

T = TypeVar("T")

CLUSTER = "redis+cluster"
TIMEOUT_SECONDS = 2.0
MISSING = "Function not found"


class _Connection(Protocol):
    """What is used of redis-py's connections, and the run of the server that one talks to.

    It is read when the connection is made: a restart breaks the connection, and the next one asks anew.
    """

    run_id: str

    def on_connect(self) -> None: ...
    def send_command(self, *args: Argument) -> None: ...
    def pack_commands(self, commands: Sequence[Sequence[Argument]]) -> list[bytes]: ...
    def send_packed_command(self, command: list[bytes]) -> None: ...
    def read_response(self) -> object: ...
    def disconnect(self) -> None: ...


class Limiter:
    """Runs calls on one server, or on a cluster (``redis+cluster://``). Threads may share it.

    Whatever the store refuses or leaves unanswered is a ``StoreUnavailable``; the call may have been carried out.
    """

    def __init__(self, url: str, *, timeout_s: float = TIMEOUT_SECONDS) -> None:
        settings: dict[str, Any] = {
            "socket_timeout": timeout_s,
            "socket_connect_timeout": timeout_s,
            "retry": Retry(NoBackoff(), 0),
            "protocol": 2,
        }
        self._cluster: RedisCluster | None = None
        if urlsplit(url).scheme == CLUSTER:
            plain = url.replace(CLUSTER, "redis", 1)
            with _store_errors():
                self._cluster = RedisCluster.from_url(plain, redis_connect_func=_ask_run_id, **settings)
        else:
            self._server = redis.Redis.from_url(url, redis_connect_func=_greet, **settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        (self._cluster or self._server).close()

    def run(self, call: Call[T]) -> T:
        """Make one call.

        Raises:
            StoreUnavailable
        """
        return self.run_all([call])[0]

    def run_all(self, calls: Sequence[Call[T]]) -> list[T]:
        """Make calls, those to one server in one write. They are not one transaction: each is carried out or not.

        Raises:
            StoreUnavailable: of any of them.
        """
        answers: dict[int, object] = {}
        with _store_errors():
            for server, numbers in self._by_server([call.keys[0] for call in calls]).items():
                replies = self._made(server, [calls[number] for number in numbers])
                answers.update(zip(numbers, replies, strict=True))
        return [call.decode(answers[number]) for number, call in enumerate(calls)]

    def ask(self, shard: int, *command: Argument) -> object:
        """One plain command to the server of a shard.

        Raises:
            StoreUnavailable
        """
        return self._ask_all(shard, [command])[0]

    def _ask_all(self, shard: int, commands: Sequence[Sequence[Argument]]) -> list[object]:
        with _store_errors(), _connection(self._server_of(keys.mark_key(shard))) as connection:
            replies = _replies(connection, commands)
            _raise_first(replies)
        return replies

    def run_id(self, shard: int) -> str:
        """The run of the server of a shard, as the connection that will be used next has read it.

        Raises:
            StoreUnavailable
        """
        with _store_errors(), _connection(self._server_of(keys.mark_key(shard))) as connection:
            return connection.run_id

    def journal(self, shard: int, count: int) -> list[tuple[str, Entry | None]]:
        """The oldest entries of a shard's journal, by their ids. None: nobody can read what it says."""
        entries = cast("list[list[Any]]", self.ask(shard, "XRANGE", keys.journal_key(shard), "-", "+", "COUNT", count))
        return _entries(entries)

    def journals(self, shards: Sequence[int], count: int) -> list[tuple[int, Mark, list[tuple[str, Entry | None]]]]:
        """Marks and oldest entries of several shards, those of one server in one write.

        Raises:
            StoreUnavailable
        """
        found: list[tuple[int, Mark, list[tuple[str, Entry | None]]]] = []
        with _store_errors():
            for server, numbers in self._by_server([keys.mark_key(shard) for shard in shards]).items():
                named = [shards[number] for number in numbers]
                commands = [command for shard in named for command in _reading(shard, count)]
                with _connection(server) as connection:
                    replies = _replies(connection, commands)
                _raise_first(replies)
                found += [
                    (shard, decode_mark(cast("list[bytes | None]", mark)), _entries(cast("list[list[Any]]", entries)))
                    for shard, mark, entries in zip(named, replies[::2], replies[1::2], strict=True)
                ]
        return found

    def mark(self, shard: int) -> Mark:
        """A shard's mark."""
        return decode_mark(cast("list[bytes | None]", self.ask(shard, "HMGET", keys.mark_key(shard), *MARK_FIELDS)))

    def purse(self, account: UUID) -> Purse | None:
        """An account's purse."""
        return self.purses([account])[0]

    def purses(self, accounts: Sequence[UUID]) -> list[Purse | None]:
        """The purses of accounts of one shard, in one write.

        Raises:
            StoreUnavailable
        """
        commands = [("HGETALL", keys.purse_key(account)) for account in accounts]
        replies = cast("list[list[bytes]]", self._ask_all(keys.shard_of(accounts[0]), commands))
        return [decode_purse(dict(zip(reply[::2], reply[1::2], strict=True))) for reply in replies]

    def _made(self, server: redis.Redis, calls: Sequence[Call[Any]]) -> list[object]:
        """The replies. Where a shard has moved to another server, the map of them is read anew for the next time."""
        try:
            return _function_replies(server, calls)
        except redis.exceptions.MovedError:
            if self._cluster is not None:
                self._cluster.nodes_manager.initialize()
            raise

    def _server_of(self, key: str) -> redis.Redis:
        if self._cluster is None:
            return self._server
        node = cast("Any", self._cluster).get_node_from_key(key)
        return self._cluster.get_redis_connection(node)

    def _by_server(self, names: Sequence[str]) -> dict[redis.Redis, list[int]]:
        numbers: dict[redis.Redis, list[int]] = {}
        for number, name in enumerate(names):
            numbers.setdefault(self._server_of(name), []).append(number)
        return numbers


def _greet(connection: _Connection) -> None:
    connection.on_connect()
    _ask_run_id(connection)


def _ask_run_id(connection: _Connection) -> None:
    connection.send_command("INFO", "server")
    text = cast("bytes", connection.read_response()).decode()
    lines = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    connection.run_id = lines["run_id"]


@contextmanager
def _connection(server: redis.Redis) -> Iterator[_Connection]:
    """A connection of the server's pool, connected. One that is left in the middle of something is not used again."""
    pool = cast("Any", server.connection_pool)
    connection: _Connection = pool.get_connection()
    try:
        yield connection
    except BaseException:
        connection.disconnect()
        raise
    finally:
        pool.release(connection)


def _function_replies(server: redis.Redis, calls: Sequence[Call[Any]]) -> list[object]:
    """What the functions say. A server that lacks the library gets it, once."""
    with _connection(server) as connection:
        commands = [
            ("FCALL", call.function, len(call.keys), *call.keys, connection.run_id, *call.args) for call in calls
        ]
        replies = _replies(connection, commands)
        again = [number for number, reply in enumerate(replies) if MISSING in str(reply)]
        if again:
            loaded, *answers = _replies(connection, [_LOAD, *(commands[number] for number in again)])
            _raise_first([loaded])
            for number, answer in zip(again, answers, strict=True):
                replies[number] = answer
    _raise_first(replies)
    return replies


_LOAD = ("FUNCTION", "LOAD", "REPLACE", LIBRARY.text)


def _replies(connection: _Connection, commands: Sequence[Sequence[Argument]]) -> list[object]:
    connection.send_packed_command(connection.pack_commands(commands))
    return [_reply(connection) for _ in commands]


def _reply(connection: _Connection) -> object:
    try:
        return connection.read_response()
    except redis.ResponseError as refusal:
        return refusal


def _raise_first(replies: Sequence[object]) -> None:
    for reply in replies:
        if isinstance(reply, redis.ResponseError):
            raise reply


def _reading(shard: int, count: int) -> tuple[tuple[Argument, ...], tuple[Argument, ...]]:
    """The mark first: a journal that is lost in between is not taken for the one that was read."""
    return (
        ("HMGET", keys.mark_key(shard), *MARK_FIELDS),
        ("XRANGE", keys.journal_key(shard), "-", "+", "COUNT", count),
    )


def _entries(entries: Sequence[Sequence[Any]]) -> list[tuple[str, Entry | None]]:
    return [(entry_id.decode(), _entry(entry_id, fields)) for entry_id, fields in entries]


def _entry(entry_id: bytes, fields: Sequence[bytes]) -> Entry | None:
    try:
        return decode_entry(entry_id, dict(zip(fields[::2], fields[1::2], strict=True)))
    except (KeyError, ValueError):
        return None


@contextmanager
def _store_errors() -> Iterator[None]:
    try:
        yield
    except (redis.RedisError, OSError) as error:
        raise StoreUnavailable(f"Valkey: {error}") from error
