"""The stub's own record of what happened, independent of the gateway: tests hold ledgers against it.

An append-only file of JSON lines, one when a call arrives and one when it ends. Sequence = line number, from 1. The
counts are derived from the lines alone, so a stub that is started on an old file goes on where it stopped.
"""

import os
import time
from array import array
from bisect import bisect_right
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import orjson

Facts = dict[str, Any]

PAGE_BYTES = 8 * 1024 * 1024
"""The log is handed out in pages of at most so much (but at least one line)."""


class Oracle:
    """Writes the log and answers questions about it."""

    def __init__(self, path: Path) -> None:
        self._log = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self._ends = array("Q", [0])
        """Where line n ends in the file; line n + 1 begins there."""
        self._models: Counter[str] = Counter()
        self._keys: Counter[str] = Counter()
        self._arrivals: defaultdict[str, list[int]] = defaultdict(list)
        self._endings: defaultdict[str, list[int]] = defaultdict(list)
        self._open: dict[int, bool] = {}
        self._calls = self._client_left = self._tokens = 0
        for line in path.open("rb"):
            self._remember(line, orjson.loads(line))
        self._open.clear()

    def arrived(self, facts: Facts) -> int:
        """Record a call's arrival; returns the call's number, which is that line's sequence."""
        sequence = len(self._ends)
        self._append({"sequence": sequence, "event": "arrived", "call": sequence, **facts})
        return sequence

    def ended(self, call: int, facts: Facts) -> None:
        """Record the end of ``call``: answered, cut, or left by its client."""
        self._append({"sequence": len(self._ends), "event": "ended", "call": call, **facts})

    def stats(self) -> Facts:
        """Counts over the whole log, and what is open at this moment."""
        return {
            "sequence": len(self._ends) - 1,
            "calls": self._calls,
            "open_calls": len(self._open),
            "open_streams": sum(self._open.values()),
            "client_left": self._client_left,
            "tokens_generated": self._tokens,
            "models": self._models,
            "request_ids": {name: len(lines) for name, lines in self._arrivals.items()},
            "idempotency_keys": self._keys,
        }

    def page(self, after: int) -> bytes:
        """Whole lines that follow line ``after``, at most :data:`PAGE_BYTES` of them."""
        first = min(max(after, 0), len(self._ends) - 1)
        begin = self._ends[first]
        last = max(bisect_right(self._ends, begin + PAGE_BYTES) - 1, min(first + 1, len(self._ends) - 1))
        return os.pread(self._log, self._ends[last] - begin, begin)

    def request(self, request_id: str) -> Facts:
        """The calls that came with ``x-request-id: request_id``, as their lines in the log."""
        arrivals = self._arrivals.get(request_id, [])
        lines = sorted(arrivals + self._endings.get(request_id, []))
        return {"request_id": request_id, "calls": len(arrivals), "lines": [self._line(number) for number in lines]}

    def _append(self, facts: Facts) -> None:
        facts["at"], facts["monotonic"] = time.time(), time.monotonic()
        line = orjson.dumps(facts, option=orjson.OPT_APPEND_NEWLINE)
        if os.write(self._log, line) != len(line):
            raise OSError("the oracle's log took only a part of a line")
        self._remember(line, facts)

    def _remember(self, line: bytes, facts: Facts) -> None:
        sequence = len(self._ends)
        self._ends.append(self._ends[-1] + len(line))
        if facts["event"] == "arrived":
            self._remember_arrival(sequence, facts)
        else:
            self._remember_ending(sequence, facts)

    def _remember_arrival(self, sequence: int, facts: Facts) -> None:
        self._calls += 1
        self._open[sequence] = facts["stream"]
        if facts["model"] is not None:
            self._models[facts["model"]] += 1
        if facts["idempotency_key"] is not None:
            self._keys[facts["idempotency_key"]] += 1
        if facts["request_id"] is not None:
            self._arrivals[facts["request_id"]].append(sequence)

    def _remember_ending(self, sequence: int, facts: Facts) -> None:
        self._open.pop(facts["call"], None)
        self._client_left += facts["client_left"]
        self._tokens += facts["tokens_generated"]
        if facts["request_id"] is not None:
            self._endings[facts["request_id"]].append(sequence)

    def _line(self, number: int) -> Facts:
        begin, end = self._ends[number - 1], self._ends[number]
        line: Facts = orjson.loads(os.pread(self._log, end - begin, begin))
        return line
