"""Ends a run by saying what it did not exercise: nothing is left out silently.

Under ``CI=true`` nothing is left out for want of a program: the tests that need it are run, and fail.
"""

import os
import platform
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

SUPPORTED = ("3.11", "3.12", "3.13")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BROWSER_TESTS = Path(__file__).parent / "browser"

deselected: Counter[str] = Counter()


def has_browser() -> bool:
    """Whether the browser tests can run here."""
    return any(shutil.which(name) for name in BROWSERS)


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave the browser tests out where there is no browser; None leaves the decision to pytest."""
    leave_out = collection_path == BROWSER_TESTS and not has_browser() and os.environ.get("CI") != "true"
    return True if leave_out else None


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    """Count what the command line left out."""
    for item in items:
        deselected["marked `long`: make test-long" if item.get_closest_marker("long") else "by -m or -k"] += 1


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In one of several test processes: hand the counts to the one that reports. Each has collected everything."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = dict(deselected)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """In the one that reports: all processes tell the same."""
    deselected.update({why: count - deselected[why] for why, count in node.workeroutput["left_out"].items()})


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List what was not exercised."""
    here = platform.python_version()
    others = [version for version in SUPPORTED if not here.startswith(f"{version}.")]
    lines = [f"{count} tests left out, {why}" for why, count in sorted(deselected.items())]
    skipped = len(terminalreporter.stats.get("skipped", []))
    if skipped:
        lines.append(f"{skipped} tests skipped; the reasons are above")
    if not has_browser():
        lines.append("the console in a browser: no chromium on this machine")
    lines.append(f"CPython {' and '.join(others)}: this was {here} on {platform.machine()}")
    terminalreporter.section("not exercised")
    for line in lines:
        terminalreporter.write_line(line)
