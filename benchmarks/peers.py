"""Gateways that others publish, as subjects: installed from their packages into an environment of their own.

They are never dependencies of the project. An environment is kept between runs in ``.local/peers`` and made once; it
needs the package registries that pip and npm are set up for. What they do is less than ours: they forward, without a
key of their own, a limit, a hold or a ledger.
"""

import json
import secrets
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import workload
from benchmarks.machine import UnfitMachineError
from benchmarks.subjects import Site, Subject

ENVIRONMENTS = Path(".local") / "peers"
LITELLM = "litellm[proxy]==1.108.7"
PORTKEY = "@portkey-ai/gateway@1.15.2"
INSTALL_SECONDS = 600
MASTER_KEY = f"sk-{secrets.token_hex(32)}"
"""The one credential that LiteLLM takes without a database; it does not start without."""


def litellm(site: Site) -> Subject:
    """LiteLLM's proxy, one worker, without a database and without Redis."""
    home = _installed("litellm", [sys.executable, "-m", "venv", "."], ["bin/pip", "install", "-q", LITELLM])
    site.directory.mkdir(parents=True, exist_ok=True)
    configuration = site.directory / "litellm.json"  # it reads YAML, of which JSON is a part
    ports = {workload.MODEL: site.stub.plain_port, workload.STREAM_MODEL: site.stub.stream_port}
    models = [
        {
            "model_name": name,
            "litellm_params": {
                "model": f"openai/{name}", "api_base": f"http://127.0.0.1:{port}/v1", "api_key": "sk-stub-benchmark",
            },
        }
        for name, port in ports.items()
    ]  # fmt: skip
    configuration.write_text(json.dumps({"model_list": models}))
    command = (str(home / "bin" / "litellm"), "--config", str(configuration), "--host", "127.0.0.1")
    return Subject(
        "litellm", LITELLM, (*command, "--port", str(site.port), "--num_workers", "1"), site.port, "/health/liveliness",
        # Else it asks a server on the internet for prices, and waits.
        environment={"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "LITELLM_MASTER_KEY": MASTER_KEY},
        headers={"authorization": f"Bearer {MASTER_KEY}"},
    )  # fmt: skip


def portkey(site: Site) -> Subject:
    """Portkey's gateway on Node.js, which is told by headers where to send a call."""
    home = _installed("portkey", ["npm", "init", "-y"], ["npm", "install", "--no-audit", "--no-fund", PORTKEY])
    node = shutil.which("node") or "node"
    server = str(home / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js")
    return Subject(
        "portkey", PORTKEY, (node, server, f"--port={site.port}", "--headless"), site.port, "/",
        headers=_portkey_headers(site.stub.plain_port), stream_headers=_portkey_headers(site.stub.stream_port),
    )  # fmt: skip


def _portkey_headers(port: int) -> dict[str, str]:
    return {
        "authorization": "Bearer sk-stub-benchmark",
        "x-portkey-provider": "openai",
        "x-portkey-custom-host": f"http://127.0.0.1:{port}/v1",
    }


def _installed(name: str, *commands: Sequence[str]) -> Path:
    """The environment of a peer, made by ``commands`` in its folder unless a run before has made it.

    Raises:
        UnfitMachineError: it could not be installed; with what the installer said.
    """
    home = (ENVIRONMENTS / name).absolute()
    complete = home / "complete"
    if complete.exists():
        return home
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    for command in commands:
        done = subprocess.run(command, cwd=home, capture_output=True, text=True, check=False, timeout=INSTALL_SECONDS)
        if done.returncode != 0:
            raise UnfitMachineError(f"{name} cannot be installed: {' '.join(command)}\n{done.stderr[-2000:]}")
    complete.touch()
    return home
