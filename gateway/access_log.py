"""The gateway's access log: one JSON line a request, written in batches.

The general logger costs tens of microseconds a line; a busy gateway writes thousands a second. Fields come from our own
code by name; nobody passes a body or a header in.
"""

import asyncio
import sys
from collections.abc import Mapping

import orjson

FLUSH_SECONDS = 0.1

_lines: list[bytes] = []


_START = b'{"logger":"gateway.access","level":"info",'


def write(fields: Mapping[str, object]) -> None:
    """Queue one line; it is out within a tenth of a second. ``time`` is in Unix seconds."""
    _lines.append(_START + orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)[1:])
    if len(_lines) == 1:
        asyncio.get_running_loop().call_later(FLUSH_SECONDS, flush)


def flush() -> None:
    """Write what is queued."""
    lines, _lines[:] = b"".join(_lines), []
    sys.stdout.buffer.write(lines)
    sys.stdout.buffer.flush()
