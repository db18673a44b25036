"""The dependency rule holds, and it bites: each planted wrong import breaks the contract that it should."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("apps", "gateway", "workers", "leaky_tokens")

PLANTS = [
    ("entry-points-on-top", "apps/orgs/services.py", "import gateway.errors"),
    ("entry-points-on-top", "gateway/line.py", "import workers.loops"),
    ("entry-points-on-top", "workers/loops.py", "import gateway.errors"),
    ("apps-order", "apps/accounts/services.py", "import apps.quotas.api"),
    ("apps-order", "apps/limiter/script.py", "import apps.accounts.api"),
    ("apps-order", "apps/orgs/services.py", "import apps.providers.api"),
    ("inside-an-app", "apps/quotas/selectors.py", "import apps.quotas.services"),
    ("inside-an-app", "apps/providers/api.py", "import apps.providers.admin"),
    ("inside-an-app", "apps/orgs/domain.py", "import apps.orgs.models"),
    ("facades", "apps/quotas/services.py", "import apps.outbox.models"),
    ("facades", "gateway/control_plane.py", "import apps.providers.models"),
    ("pure-domain", "apps/quotas/domain.py", "import django"),
    ("pure-domain", "apps/core/units.py", "import redis"),
    ("pure-domain", "gateway/metering.py", "import asyncio"),
    ("control-plane-door", "gateway/line.py", "import django"),
    ("control-plane-door", "gateway/relay.py", "import apps.quotas.api"),
    ("control-plane-door", "gateway/upstream/http1.py", "import apps.providers.api"),
    ("no-celery-in-apps", "apps/quotas/services.py", "import celery"),
]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("tree")
    skip = shutil.ignore_patterns("__pycache__")
    for package in (*PACKAGES, "tests/architecture"):
        shutil.copytree(ROOT / package, copy / package, ignore=skip)
    (copy / "tests/__init__.py").touch()
    shutil.copy(ROOT / ".importlinter", copy)
    return copy


def _lint(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()", *arguments]
    return subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)


def test_the_tree_keeps_every_contract(tree: Path) -> None:
    result = _lint(tree)

    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(("contract", "module", "line"), PLANTS)
def test_a_wrong_import_breaks_its_contract(tree: Path, contract: str, module: str, line: str) -> None:
    planted = tree / module
    honest = planted.read_text()
    planted.write_text(honest + f"\n{line}\n")
    try:
        result = _lint(tree, "--contract", contract)
    finally:
        planted.write_text(honest)

    assert result.returncode == 1, result.stdout
    assert "BROKEN" in result.stdout
