"""``python -m leaky_tokens.configuration``: render the table of all settings into ``docs/configuration.md``.

The declarations are the truth; a test fails when the page differs from what this renders.
"""

import os
from importlib import import_module
from pathlib import Path

from apps.core import environment

PAGE = Path(__file__).resolve().parent.parent / "docs" / "configuration.md"
SECTIONS = {
    "Django processes (services, console, workers, the gateway's control plane)": "leaky_tokens.settings.base",
    "Production (`leaky_tokens.settings.prod`)": "leaky_tokens.settings.prod",
    "Gateway": "gateway.settings",
    "Workers": "workers.settings",
}
_SECRETS = ("DJANGO_SECRET_KEY", "LEAKY_KEY_PEPPER", "LEAKY_CREDENTIAL_KEYS", "LEAKY_INTERNAL_KEYS")
_INSISTED_ON = {**dict.fromkeys(_SECRETS, "unset"), "EMAIL_URL": "smtp://unset"}
"""What production settings do not start without; their values are not shown."""

INTRODUCTION = """# Configuration

Settings are environment variables. They are typed and bounded where they are read; a value of the wrong type or out of
its bounds stops the process at start with a sentence that names it. `make run` generates every secret and address; a
deployment sets them. This page is rendered from the declarations by `python -m leaky_tokens.configuration`.

What operators change while the system runs (models, prices, upstreams, tiers, keys) is not here: it lives in the
database, is edited in the console, and reaches every gateway within a second.
"""


def render() -> str:
    """The page as it should be."""
    for name, value in _INSISTED_ON.items():
        os.environ.setdefault(name, value)
    sections = [_section(title, module) for title, module in SECTIONS.items()]
    return "\n".join([INTRODUCTION, *sections])


def _section(title: str, module: str) -> str:
    import_module(module)
    rows = [
        f"| `{declared.name}` | {_code(declared.default)} | {declared.bounds} | {declared.purpose} |"
        for declared in environment.DECLARED.values()
        if declared.module == module
    ]
    return "\n".join(
        [f"## {title}", "", "| variable | default | bounds | what it is |", "|---|---|---|---|", *rows, ""]
    )


def _code(default: str) -> str:
    return f"`{default}`" if default and not default.startswith("(") else default or "(empty)"


if __name__ == "__main__":
    PAGE.write_text(render())
