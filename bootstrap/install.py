"""Make ``.venv`` from the locks, with nothing but a CPython: no pip, ``ensurepip`` or ``venv`` package, no root.

pip runs straight from its wheel beside this file and installs one thing, uv, by hash. uv makes the environment and
installs the rest by hash. Only the standard library is imported here, because nothing else exists yet.

    python bootstrap/install.py run|dev
"""

import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PIP = ROOT / "bootstrap" / "pip-26.3-py3-none-any.whl"
PIP_SHA256 = "f3b60b20ffaadd4415ed7957212a38ac63fa4c5fa375bd0f4a797777940fad13"
TOOLS = ROOT / ".local" / "tools"
UV = TOOLS / "bin" / "uv"
VENV = ROOT / ".venv"
STAMP = VENV / "installed.json"

LOCKS = {"run": ("base.txt", "embedded.txt"), "dev": ("base.txt", "embedded.txt", "dev.txt")}
"""``dev`` holds all of ``run``: an environment made for the tests can also run the system."""

PIP_TO_UV = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "trusted-host": "UV_INSECURE_HOST",
    "no-index": "UV_NO_INDEX",
    "cert": "SSL_CERT_FILE",
    "proxy": "ALL_PROXY",
}
"""uv does not read pip's configuration, and a machine that needs one has usually only that."""

COMMA_SEPARATED = {"UV_FIND_LINKS"}


def main(wanted: str) -> None:
    """Install ``wanted`` unless the stamp says that it is there."""
    stamp = read_stamp()
    if stamp.get(wanted) == digest(wanted):
        return
    if "dev" in stamp:  # What the developer has installed is kept up to date, not taken away.
        wanted = "dev"
    started = time.monotonic()
    install_uv()
    install_packages(wanted, fresh=stamp.get("python") != interpreter())
    write_stamp(wanted)
    say(f"environment ready after {time.monotonic() - started:.0f} s")


def interpreter() -> str:
    """Names the CPython under us; the same inside an environment made from it."""
    return f"{sys.base_prefix} {sys.version}"


def digest(wanted: str) -> str:
    """Changes whenever a lock or the interpreter does."""
    contents = b"".join((ROOT / "requirements" / name).read_bytes() for name in LOCKS[wanted])
    return hashlib.sha256(interpreter().encode() + contents).hexdigest()


def read_stamp() -> "dict[str, str]":
    """What is installed; empty when there is no environment, or one that was not finished."""
    return json.loads(STAMP.read_text()) if STAMP.exists() else {}


def write_stamp(wanted: str) -> None:
    """Last of all, so that an installation that was cut short is done again."""
    names = LOCKS if wanted == "dev" else [wanted]
    STAMP.write_text(json.dumps({"python": interpreter()} | {name: digest(name) for name in names}))


def install_uv() -> None:
    """Put uv under ``.local/tools`` with the pip that we carry, checked against the hash above."""
    lock = ROOT / "requirements" / "uv.txt"
    done = TOOLS / "uv.sha256"
    if UV.exists() and done.exists() and done.read_text() == hashlib.sha256(lock.read_bytes()).hexdigest():
        return
    if hashlib.sha256(PIP.read_bytes()).hexdigest() != PIP_SHA256:
        sys.exit(f"{PIP.name} is not the file that was committed: restore it with `git checkout bootstrap`")
    shutil.rmtree(TOOLS, ignore_errors=True)
    pip("install", "--target", str(TOOLS), "--no-deps", "--only-binary=:all:", "--require-hashes", "-r", str(lock))
    done.write_text(hashlib.sha256(lock.read_bytes()).hexdigest())


def install_packages(wanted: str, *, fresh: bool) -> None:
    """Make the environment and bring it to exactly what the locks say."""
    STAMP.unlink(missing_ok=True)
    if fresh or not (VENV / "bin" / "python").exists():
        base = getattr(sys, "_base_executable", sys.executable)
        run([str(UV), "venv", "--clear", "--quiet", "--python", base, str(VENV)])
    locks = [str(ROOT / "requirements" / name) for name in LOCKS[wanted]]
    # Every file is pinned by hash, so which index it comes from decides nothing: take them as pip would.
    run([
        str(UV), "pip", "sync", "--require-hashes", "--compile-bytecode", "--index-strategy", "unsafe-best-match",
        "--python", str(VENV / "bin" / "python"), *locks,
    ])  # fmt: skip


def pip(*arguments: str, capture: bool = False) -> str:
    """Run the carried pip."""
    command = [sys.executable, "-I", str(PIP / "pip"), "--disable-pip-version-check", *arguments]
    return run(command, capture=capture)


def run(command: "list[str]", *, capture: bool = False) -> str:
    """Run and show ``command``; its failure is ours. Returns what it printed, when captured."""
    if not capture:
        say(shlex.join(command).replace(f"{ROOT}/", ""))
    done = subprocess.run(command, env=environment(capture), stdout=subprocess.PIPE if capture else None, text=True)
    if done.returncode != 0:
        sys.exit(f"installation failed in `{Path(command[0]).name} {command[1]}` (exit code {done.returncode})")
    return done.stdout or ""


def environment(plain: bool) -> "dict[str, str]":
    """Ours, without what would send the installation elsewhere, with pip's settings told to uv too."""
    inherited = {name: value for name, value in os.environ.items() if name not in {"VIRTUAL_ENV", "PYTHONPATH"}}
    inherited |= {"PIP_REQUIRE_VIRTUALENV": "0", "PIP_USER": "0"}
    return inherited if plain else uv_settings() | inherited


def uv_settings() -> "dict[str, str]":
    """pip's configuration, files and variables, in uv's words."""
    found = {}
    # Later lines win: `pip config list` sorts variables (":env:") first, so they are put last.
    lines = sorted(pip("config", "list", capture=True).splitlines(), key=lambda line: line.startswith(":env:"))
    for section, option, value in re.findall(r"^(:env:|global|install)\.([a-z-]+)='(.*)'$", "\n".join(lines), re.M):
        name = PIP_TO_UV.get(option)
        if name and value:
            words = value.replace("\\n", " ").split()
            found[name] = ("," if name in COMMA_SEPARATED else " ").join(words)
    return found


def say(text: str) -> None:
    """Progress, on standard error: standard output belongs to the command that needed us."""
    print(f"install: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in LOCKS:
        sys.exit("usage: bootstrap/install run|dev")
    os.chdir(ROOT)
    main(sys.argv[1])
