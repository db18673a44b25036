"""Newman, Postman's command line: installed once from its lock file, run on a collection."""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
TOOL = HERE.parents[1] / ".local" / "tools" / "newman"
LOCK = "package-lock.json"
INSTALL_SECONDS, RUN_SECONDS = 240, 90


@dataclass(frozen=True, slots=True)
class Run:
    """What a collection found: how many assertions there were, and each that failed with its reason."""

    assertions: int
    failures: list[str]


def run(collection: Path, base_url: str, report: Path) -> Run:
    """Drive ``collection`` against ``base_url``; the whole report is left in ``report``."""
    command = [
        _installed(), "run", str(collection), "--env-var", f"baseUrl={base_url}", "--reporters", "json",
        "--reporter-json-export", str(report), "--timeout-request", "10000",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_SECONDS, check=False)
    assert report.exists(), f"newman left no report: {done.stderr}"
    outcome: dict[str, Any] = json.loads(report.read_text())["run"]
    failures = [f"{failure['source']['name']}: {failure['error']['message']}" for failure in outcome["failures"]]
    return Run(outcome["stats"]["assertions"]["total"], failures)


def _installed() -> str:
    """The program, after making sure that it is the locked one. Needs npm, and says so where it is missing."""
    lock = (HERE / LOCK).read_text()
    present = TOOL / LOCK
    if not present.exists() or present.read_text() != lock:
        TOOL.mkdir(parents=True, exist_ok=True)
        shutil.copy(HERE / "package.json", TOOL)
        shutil.copy(HERE / LOCK, TOOL)
        install = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
        try:
            subprocess.run(install, cwd=TOOL, check=True, capture_output=True, timeout=INSTALL_SECONDS)
        except BaseException:  # Interrupted, too: half an installation must not pass for a whole one.
            present.unlink()
            raise
    return str(TOOL / "node_modules" / ".bin" / "newman")
