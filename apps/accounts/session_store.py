"""Browser sessions that cannot be taken over with a copy of a store: Django's, kept under a digest of the cookie.

Django finds a session by its cookie's very value, so whoever reads a backup or the cache could sign in as everybody in
it. Here only the browser knows the value. Settings name this module as ``SESSION_ENGINE``.
"""

from hashlib import sha256
from typing import Any

from django.contrib.sessions.backends.cached_db import SessionStore as DjangoStore
from django.contrib.sessions.base_session import AbstractBaseSession
from django.utils import timezone

DIGITS = 40
"""As many as Django's column takes; 160 bits, about as many as the cookie's value has."""


def stored_name(cookie: str) -> str:
    """The name under which both stores keep the session of a cookie. No stretching: the value is random, not chosen."""
    return sha256(cookie.encode()).hexdigest()[:DIGITS]


class SessionStore(DjangoStore):
    """Whatever reaches a store goes by the stored name; ``session_key`` is the cookie's value, as everywhere in Django.

    The twins for asynchronous code are here so that none of them ever writes the value itself.
    """

    @property
    def cache_key(self) -> str:
        """The session's name in the cache."""
        cookie: str = self._get_or_create_session_key()  # type: ignore[attr-defined]  # (the stubs lack it)
        return f"{self.cache_key_prefix}{stored_name(cookie)}"

    async def acache_key(self) -> str:
        """The same."""
        cookie: str = await self._aget_or_create_session_key()  # type: ignore[attr-defined]  # (nor this)
        return f"{self.cache_key_prefix}{stored_name(cookie)}"

    def exists(self, session_key: str | None) -> bool:
        """Whether this cookie has a session."""
        return session_key is not None and super().exists(stored_name(session_key))

    async def aexists(self, session_key: str | None) -> bool:
        """The same."""
        return session_key is not None and await super().aexists(stored_name(session_key))

    def create_model_instance(self, data: dict[str, Any]) -> AbstractBaseSession:
        """The row of this session."""
        return self._hidden(super().create_model_instance(data))

    async def acreate_model_instance(self, data: dict[str, Any]) -> AbstractBaseSession:
        """The same."""
        return self._hidden(await super().acreate_model_instance(data))

    def delete(self, session_key: str | None = None) -> None:
        """Delete the session of this cookie, or this one."""
        cookie = session_key or self.session_key
        if cookie:
            super().delete(stored_name(cookie))

    async def adelete(self, session_key: str | None = None) -> None:
        """The same."""
        cookie = session_key or self.session_key
        if cookie:
            await super().adelete(stored_name(cookie))

    def _get_session_from_db(self) -> AbstractBaseSession | None:
        return self._known(self._rows().first())

    async def _aget_session_from_db(self) -> AbstractBaseSession | None:
        return self._known(await self._rows().afirst())

    def _rows(self) -> Any:
        name = stored_name(self.session_key or "")
        return self.model.objects.filter(session_key=name, expire_date__gt=timezone.now())

    def _known(self, row: AbstractBaseSession | None) -> AbstractBaseSession | None:
        """The row; a cookie without one is forgotten, or whoever planted it would know the next session's."""
        if row is None:
            self._session_key = None
        return row

    def _hidden(self, row: AbstractBaseSession) -> AbstractBaseSession:
        row.session_key = stored_name(row.session_key)
        return row
