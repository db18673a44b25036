"""Neither store knows a cookie: what it keeps opens nothing, and everything that Django does with sessions works."""

from datetime import timedelta

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.contrib.sessions.models import Session as Row
from django.core.cache import caches
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from apps.accounts.api import open_user
from apps.accounts.session_store import SessionStore, stored_name

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.integration.accounts.page_urls")]

PASSWORD = "a long enough password"


def kept(**data: str) -> SessionStore:
    """A session as a browser has it."""
    store = SessionStore()
    store.update(data)
    store.save()
    return store


def cookie_of(store: SessionStore) -> str:
    assert store.session_key is not None
    return store.session_key


def in_cache(cookie: str) -> bool:
    return SessionStore.cache_key_prefix + stored_name(cookie) in caches[settings.SESSION_CACHE_ALIAS]


def forget_cached(cookie: str) -> None:
    caches[settings.SESSION_CACHE_ALIAS].delete(SessionStore.cache_key_prefix + stored_name(cookie))


def test_both_stores_know_a_digest_only() -> None:
    cookie = cookie_of(kept(name="ada"))

    assert not Row.objects.filter(session_key=cookie).exists()
    assert SessionStore.cache_key_prefix + cookie not in caches[settings.SESSION_CACHE_ALIAS]
    assert Row.objects.filter(session_key=stored_name(cookie)).count() == 1
    assert in_cache(cookie)


@pytest.mark.parametrize("cached", [True, False])
def test_the_cookie_opens_its_session_and_the_stored_name_none(cached: bool) -> None:
    cookie = cookie_of(kept(name="ada"))
    if not cached:
        forget_cached(cookie)

    assert dict(SessionStore(cookie).items()) == {"name": "ada"}
    thief = SessionStore(stored_name(cookie))
    assert dict(thief.items()) == {}
    assert thief.session_key is None


def test_a_planted_cookie_is_not_adopted() -> None:
    store = SessionStore("0123456789abcdefghijklmnopqrstuv")
    store["name"] = "ada"
    store.save()

    assert store.session_key not in {None, "0123456789abcdefghijklmnopqrstuv"}


def test_changes_are_kept_and_the_key_is_cycled() -> None:
    store = kept(name="ada")
    before = cookie_of(store)
    store["name"] = "grace"
    store.save()
    store.cycle_key()
    store.save()

    assert not SessionStore().exists(before)
    assert not in_cache(before)
    assert SessionStore().exists(cookie_of(store))
    assert SessionStore(cookie_of(store))["name"] == "grace"


def test_flushing_leaves_nothing_in_either_store() -> None:
    store = kept(name="ada")
    cookie = cookie_of(store)
    store.flush()

    assert not Row.objects.filter(session_key=stored_name(cookie)).exists()
    assert not in_cache(cookie)
    assert store.session_key is None


def test_what_has_expired_opens_nothing_and_is_cleared() -> None:
    cookie = cookie_of(kept(name="ada"))
    forget_cached(cookie)
    Row.objects.update(expire_date=timezone.now() - timedelta(seconds=1))

    assert dict(SessionStore(cookie).items()) == {}
    call_command("clearsessions")
    assert not Row.objects.exists()


@async_to_sync
async def by_twins() -> tuple[str, str]:
    """A session that is made, looked up in both stores, and replaced by asynchronous code; both cookies."""
    store = SessionStore()
    await store.aset("name", "ada")
    await store.asave()
    before = cookie_of(store)
    assert await SessionStore(before).aget("name") == "ada"
    await caches[settings.SESSION_CACHE_ALIAS].adelete(await store.acache_key())
    assert await SessionStore(before).aget("name") == "ada"
    await store.acycle_key()
    await store.asave()
    assert not await SessionStore().aexists(before)
    assert await SessionStore().aexists(store.session_key)
    return before, cookie_of(store)


def test_asynchronous_code_finds_the_same() -> None:
    before, after = by_twins()

    assert dict(SessionStore(before).items()) == {}
    assert SessionStore(after)["name"] == "ada"
    kept = set(Row.objects.values_list("session_key", flat=True))
    assert stored_name(after) in kept
    assert kept.isdisjoint({before, after, stored_name(before)})
    async_to_sync(SessionStore(after).aflush)()
    assert not Row.objects.filter(session_key=stored_name(after)).exists()


def test_signing_in_keeps_no_cookie(client: Client) -> None:
    person = open_user("person", "person@example.test", PASSWORD)
    client.post("/account/sign-in", {"username": "person", "password": PASSWORD})
    cookie = client.cookies[settings.SESSION_COOKIE_NAME].value

    assert SessionStore(cookie)["_auth_user_id"] == str(person.pk)
    assert not Row.objects.filter(session_key=cookie).exists()
