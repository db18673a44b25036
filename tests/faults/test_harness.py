"""The harness itself: a fault that does not happen would make every test of it pass."""

import json
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.faults.site.clock import HOUR, Clock
from tests.faults.site.roads import Road, Roads
from tests.faults.site.valkeys import QuotaCluster, QuotaStore
from tests.faults.site.witness import Log, changes_of, peak_of
from tests.functional.payers import eventually

PATIENCE_SECONDS = 0.3


@pytest.fixture
def store(tmp_path: Path) -> Iterator[QuotaStore]:
    store = QuotaStore(tmp_path / "store")
    store.process.start()
    yield store
    store.process.kill()


@pytest.fixture
def proxy(store: QuotaStore) -> Iterator[Road]:
    roads = Roads()
    yield roads.proxy(store.server.port)
    roads.close()


def client_of(store: QuotaStore, proxy: Road) -> redis.Redis:
    return redis.Redis.from_url(store.url(proxy.port), socket_timeout=PATIENCE_SECONDS, retry=None)


def test_a_store_forgets_what_was_written_after_its_power_went(store: QuotaStore) -> None:
    store.ask("SET", "early", 1)
    written = store.written()
    store.ask("SET", "late", 1)

    assert store.lose_power(back_to=written) > 0

    assert (store.ask("GET", "early"), store.ask("GET", "late")) == ("1", None)


def test_a_killed_store_forgets_nothing(store: QuotaStore) -> None:
    before = store.ask("INFO", "server")["run_id"]
    store.ask("SET", "name", 1)

    store.restart()

    assert store.ask("GET", "name") == "1"
    assert store.ask("INFO", "server")["run_id"] != before


def test_a_promoted_replica_and_its_old_primary_both_take_writes(store: QuotaStore, tmp_path: Path) -> None:
    store.ask("SET", "name", "old")
    other = store.replica(tmp_path / "replica")
    try:
        other.promote()
        other.ask("SET", "name", "new")
        assert (store.ask("GET", "name"), other.ask("GET", "name")) == ("old", "new")
    finally:
        other.process.kill()


def test_a_starved_store_refuses_writes_until_it_is_fed(store: QuotaStore) -> None:
    store.starve()
    with pytest.raises(redis.OutOfMemoryError):
        store.ask("SET", "name", 1)

    store.feed()

    assert store.ask("SET", "name", 1)


def test_a_store_on_a_full_disk_ends_and_starts_again_when_there_is_room(store: QuotaStore) -> None:
    store.ask("SET", "name", 1)
    store.fill_disk()
    with pytest.raises(redis.RedisError):
        store.ask("SET", "name", 2)
    assert eventually(lambda: not store.process.runs())

    store.process.start()

    assert store.ask("GET", "name") == "1"


def test_a_clock_jumps_and_the_time_between_two_moments_stays(tmp_path: Path) -> None:
    clock = Clock(tmp_path / "clock", HOUR)
    store = QuotaStore(tmp_path / "early", environment=clock.environment)
    store.process.start()
    try:
        assert store.ask("TIME")[0] - time.time() == pytest.approx(HOUR, abs=3)
        clock.jump_to(-HOUR)
        assert store.ask("TIME")[0] - time.time() == pytest.approx(-HOUR, abs=3)
    finally:
        store.process.kill()


def test_a_cluster_serves_every_slot(tmp_path: Path) -> None:
    cluster = QuotaCluster(tmp_path)
    try:
        cluster.start()
        assert all("cluster_slots_ok:16384" in node.ask("CLUSTER", "INFO") for node in cluster.nodes)
    finally:
        cluster.stop()


def test_a_proxy_passes_on_until_it_is_cut(store: QuotaStore, proxy: Road) -> None:
    with client_of(store, proxy) as client:
        assert client.ping()
        proxy.refuse()
        with pytest.raises(redis.ConnectionError):
            client.ping()
        proxy.heal()
        assert client.ping()


def test_a_black_hole_answers_nothing_and_resets_nothing(store: QuotaStore, proxy: Road) -> None:
    with client_of(store, proxy) as client:
        client.ping()
        proxy.blackhole()
        with pytest.raises(redis.TimeoutError):
            client.set("name", 1)
        assert store.ask("GET", "name") is None
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=1):
            pass
        proxy.heal()
        assert client.ping()


def test_half_open_means_done_and_not_told(store: QuotaStore, proxy: Road) -> None:
    with client_of(store, proxy) as client:
        client.ping()
        proxy.half_open()
        with pytest.raises(redis.TimeoutError):
            client.set("name", 1)
        assert store.ask("GET", "name") == "1"


def test_a_delay_is_felt_each_way(store: QuotaStore, proxy: Road) -> None:
    with client_of(store, proxy) as client:
        client.ping()
        proxy.delay(0.1)
        began = time.monotonic()
        client.ping()
        assert time.monotonic() - began >= 0.2


def test_a_connection_is_cut_in_the_middle_of_an_answer(store: QuotaStore, proxy: Road) -> None:
    store.ask("SET", "name", "x" * 1000)
    with client_of(store, proxy) as client:
        client.ping()
        proxy.cut_after(500)
        with pytest.raises(redis.ConnectionError):
            client.get("name")
        assert client.get("name") == b"x" * 1000


def test_an_address_that_moves_leaves_old_connections_where_they_are(
    store: QuotaStore, proxy: Road, tmp_path: Path
) -> None:
    other = QuotaStore(tmp_path / "other", password=store.server.password)
    other.process.start()
    try:
        with client_of(store, proxy) as early, client_of(store, proxy) as late:
            early.set("name", "old")
            proxy.point_at(other.server.port)
            assert (early.get("name"), late.get("name")) == (b"old", None)
    finally:
        other.process.kill()


def test_a_frozen_process_answers_when_it_thaws(store: QuotaStore, proxy: Road) -> None:
    store.process.freeze()
    with client_of(store, proxy) as client:
        with pytest.raises(redis.TimeoutError):
            client.ping()
        store.process.thaw()
        assert client.ping()
    assert store.process.stop(signal.SIGTERM) == 0


def test_what_falls_at_a_moment_comes_before_what_rises() -> None:
    assert peak_of([(1.0, 10), (2.0, 10), (2.0, -10), (3.0, -10)]) == 10


def the_log_of(tmp_path: Path, *lines: dict[str, object]) -> Log:
    """A provider's log of calls with a prompt of ten tokens and a cap of ninety."""
    same = {"prompt_tokens": 10, "max_tokens": 90, "usage": None, "client_left": False}
    file = tmp_path / "requests.jsonl"
    file.write_text("".join(json.dumps(same | line) + "\n" for line in lines))
    log = Log(file)
    log.read()
    return log


def test_the_witness_counts_what_is_under_way_by_its_bound_and_what_has_ended_by_its_charge(tmp_path: Path) -> None:
    log = the_log_of(
        tmp_path,
        {"event": "arrived", "call": 1, "request_id": "a", "monotonic": 1.0},
        {"event": "arrived", "call": 2, "request_id": "b", "monotonic": 2.0},
        {"event": "ended", "call": 1, "request_id": "a", "monotonic": 3.0, "tokens_generated": 20},
        {"event": "ended", "call": 2, "request_id": "b", "monotonic": 4.0, "tokens_generated": 20},
        {"event": "arrived", "call": 5, "request_id": "c", "monotonic": 5.0},
        {"event": "ended", "call": 5, "request_id": "c", "monotonic": 6.0, "tokens_generated": 20},
    )

    overlapping = [change for name in ("a", "b") for change in changes_of(log.served[name], 30)]
    in_turn = [change for name in ("a", "c") for change in changes_of(log.served[name], 30)]

    assert (peak_of(overlapping), peak_of(in_turn)) == (200, 130)
    assert sum(tokens for _, tokens in overlapping) == 60
