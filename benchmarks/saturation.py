"""Requests per second in a closed loop, by ``wrk``: 64 connections, each asks again as soon as it is answered."""

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

CONNECTIONS = 64
SCRIPT = Path(__file__).with_name("workload.lua")


@dataclass(frozen=True, slots=True)
class Saturated:
    """Counts of one run of wrk. ``failures`` are answers other than 2xx and 3xx, and broken connections."""

    requests: int
    seconds: float
    failures: int


def saturate(url: str, body: bytes, headers: Mapping[str, str], *, seconds: float) -> Saturated:
    """Ask as fast as answers come for about ``seconds`` (whole seconds, at least one).

    Raises:
        subprocess.CalledProcessError: wrk failed.
    """
    words = "".join(f"{name}: {value}\n" for name, value in headers.items())
    command = [
        "wrk",
        "-t1",
        f"-c{CONNECTIONS}",
        f"-d{max(1, round(seconds))}s",
        "--timeout",
        "10s",
        "-s",
        str(SCRIPT),
        url,
    ]
    environment = os.environ | {"BENCH_BODY": body.decode(), "BENCH_HEADERS": words}
    output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    return parse(output)


def parse(output: str) -> Saturated:
    """The counts that our script makes wrk print in a line of their own."""
    line = next(line for line in output.splitlines() if line.startswith("RESULT "))
    counts = json.loads(line.removeprefix("RESULT "))
    return Saturated(counts["requests"], counts["duration_us"] / 1e6, counts["refused"] + counts["broken"])
