"""The lists that name tasks by strings name tasks that exist."""

from workers import routes
from workers.celery import app
from workers.lease import lock_key
from workers.schedule import SCHEDULE


def test_every_periodic_job_is_a_task_of_ours_and_expires_before_the_next() -> None:
    app.loader.import_default_modules()
    for name, entry in SCHEDULE.items():
        assert entry["task"] in app.tasks, name
        assert 0 < entry["options"]["expires"] <= entry["schedule"]


def test_every_task_of_ours_goes_to_a_queue_that_workers_take_from() -> None:
    app.loader.import_default_modules()
    taken = {queue.name for queue in routes.QUEUES}
    for name in app.tasks:
        if name.startswith("workers."):
            assert app.amqp.router.route({}, name)["queue"].name in taken


def test_signs_of_life_do_not_wait_behind_work() -> None:
    assert app.amqp.router.route({}, "workers.tasks.watch.beat_heartbeat")["queue"].name == routes.WATCH_QUEUE


def test_messages_are_json_only_and_acknowledged_early() -> None:
    assert app.conf.accept_content == ["json"]
    assert app.conf.task_serializer == "json"
    assert app.conf.task_acks_late is False


def test_a_loops_lock_has_one_number_everywhere_that_fits_postgresql() -> None:
    assert lock_key("expire_holds") == lock_key("expire_holds")
    assert lock_key("expire_holds") != lock_key("drain")
    assert -(2**63) <= lock_key("expire_holds") < 2**63
