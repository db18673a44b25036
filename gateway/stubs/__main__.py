"""``python -m gateway.stubs openai --port 8093 --log PATH``."""

import argparse
from pathlib import Path

from gateway.stubs.openai.app import OpenAIStub
from gateway.stubs.oracle import Oracle
from gateway.stubs.server import serve


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m gateway.stubs", description="A fake provider, true to the wire.")
    parser.add_argument("provider", choices=["openai"])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8093)
    parser.add_argument("--log", type=Path, required=True, help="the oracle's append-only log (JSON lines)")
    arguments = parser.parse_args()
    serve(OpenAIStub(Oracle(arguments.log)), arguments.host, arguments.port)


if __name__ == "__main__":
    main()
