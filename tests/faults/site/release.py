"""The next release: the same code with another library in Valkey, for programs that are replaced one by one."""

import shutil
from pathlib import Path

from leaky_tokens.local.place import ROOT

PACKAGES = ("apps", "gateway", "workers", "leaky_tokens", "templates", "tests")
LIBRARY = Path("apps/limiter/lua/register.lua")


def next_release(directory: Path) -> Path:
    """Write it to a directory of its own, which programs are then run in."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, directory / package, ignore=shutil.ignore_patterns("__pycache__"))
    with (directory / LIBRARY).open("a") as library:
        library.write("-- The next release.\n")
    return directory
