"""When keys were last used, as the gateways noted it."""

from collections.abc import Mapping
from datetime import datetime

from django.db import connection

_NOTE = """
    WITH used AS (SELECT * FROM unnest(%s::text[], %s::timestamptz[]) AS noted (id, at)),
    locked AS MATERIALIZED (
        SELECT key.id, used.at FROM accounts_apikey AS key JOIN used USING (id) ORDER BY key.id FOR NO KEY UPDATE OF key
    )
    UPDATE accounts_apikey AS key SET last_used_at = GREATEST(key.last_used_at, locked.at)
    FROM locked WHERE key.id = locked.id
"""
"""Locks in the order of ids: two gateways that saw the same keys would else wait for each other."""


def note_key_uses(uses: Mapping[str, datetime]) -> None:
    """Note when each key, by its id, was last used. One statement; a use earlier than the one noted changes nothing.

    No gateway need know of it, so no version rises.
    """
    ids = sorted(uses)
    with connection.cursor() as cursor:
        cursor.execute(_NOTE, [ids, [uses[key_id] for key_id in ids]])
