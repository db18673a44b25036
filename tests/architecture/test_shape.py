"""Habits that a machine can hold us to: sorted doors, small files, and nothing that speaks of where it was built."""

import ast
import importlib
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILE_LIMIT, FUNCTION_LIMIT = 400, 70
DOORS = sorted(path.parent.name for path in (ROOT / "apps").glob("*/api.py"))
SOURCES = [
    path
    for package in ("apps", "gateway", "workers", "leaky_tokens", "tests", "benchmarks")
    for path in (ROOT / package).rglob("*.py")
    if "migrations" not in path.parts
]


@pytest.mark.parametrize("app", DOORS)
def test_an_apps_door_is_sorted_and_complete(app: str) -> None:
    door = importlib.import_module(f"apps.{app}.api")
    imported = {
        alias.asname or alias.name
        for node in ast.walk(ast.parse(Path(str(door.__file__)).read_text()))
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith(f"apps.{app}.")
        for alias in node.names
    }

    # Constants first, then classes, then functions, each by name: the order that ruff keeps too.
    assert set(door.__all__) >= imported
    assert all(hasattr(door, name) for name in door.__all__)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_stay_small(path: Path) -> None:
    source = path.read_text()
    long = [
        f"{node.name} ({node.end_lineno - node.lineno + 1} lines)"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno >= FUNCTION_LIMIT
    ]

    assert source.count("\n") <= FILE_LIMIT
    assert long == []


def test_only_the_lock_files_and_their_tool_know_of_registries() -> None:
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    hosts = re.compile(r"\b(pypi|pythonhosted|npmjs|crates|maven)\.(org|com|io|apache\.org)\b")
    naming = [
        name
        for name in tracked.split("\0")
        if name and not name.endswith(".whl") and hosts.search((ROOT / name).read_text(errors="ignore"))
    ]

    assert naming == []
