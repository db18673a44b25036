"""What the developer sees: progress line by line, crashes with their last words, and one table at the end."""

import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from leaky_tokens.local.supervisor import describe

WIDTH_OF_PIPES = 160
"""Where no terminal says how wide it is, nothing should be folded."""


def console() -> Console:
    """Standard output; plain lines where it is no terminal."""
    screen = Console(highlight=False)
    return screen if screen.is_terminal else Console(highlight=False, width=WIDTH_OF_PIPES)


class Screen:
    """The progress of one run. On a terminal the last line says what is waited for."""

    def __init__(self, output: Console) -> None:
        self.output = output
        self.waiting: list[str] = []
        self.spinner = output.status("starting")
        self.began = time.monotonic()

    def note(self, text: str) -> None:
        """One line of progress with the seconds since the start."""
        self.output.print(f"[dim]{time.monotonic() - self.began:6.2f} s[/dim]  {escape(text)}", soft_wrap=True)

    def started(self, name: str) -> None:
        """``name`` is waited for."""
        self.waiting.append(name)
        self._spin()

    def ready(self, name: str, seconds: float) -> None:
        """``name`` answers."""
        self.note(f"{name} ready after {seconds:.2f} s")
        self._arrived(name)

    def crashed(self, name: str, code: int, tail: list[str], pause: float) -> None:
        """``name`` ended by itself; its last lines."""
        self._arrived(name)
        self.note(f"{name} ended: {describe(code)}; the end of its log:")
        for line in tail:
            self.output.print(f"          {line}", style="dim", markup=False, soft_wrap=True)
        self.note(f"{name} starts again in {pause:g} s")

    def quiet(self) -> None:
        """No last line any more."""
        self.spinner.stop()

    def _arrived(self, name: str) -> None:
        if name in self.waiting:
            self.waiting.remove(name)
        self._spin()

    def _spin(self) -> None:
        if self.waiting:
            self.spinner.update(f"waiting for {', '.join(self.waiting)}")
            self.spinner.start()
        else:
            self.spinner.stop()


def show_table(output: Console, facts: Mapping[str, Any]) -> None:
    """The one table: where everything is, who may come in, and two snippets that work as they stand."""
    table = Table(title="Leaky Tokens", title_justify="left", show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows(facts):
        table.add_row(name, escape(value))
    output.print(table)
    if "api_key" in facts:
        for text in snippets(facts):
            output.print(text, markup=False, soft_wrap=True)


def rows(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Name and value of each line of the table."""
    people = [(who, facts[who]) for who in ("user", "operator") if who in facts]
    lines = [
        ("status", str(facts["status"])),
        ("gateway", str(facts.get("gateway_url", ""))),
        ("sign in", f"{facts['gateway_url']}/account/sign-in" if "gateway_url" in facts else ""),
        ("console", f"{facts['console_url']}/admin/" if "console_url" in facts else ""),
        ("services", str(facts.get("services_url", ""))),
        *((f"stub {name}", url) for name, url in facts.get("stubs", {}).items()),
        *((f"store {name}", url) for name, url in facts.get("stores", {}).items()),
        ("API key", str(facts.get("api_key", ""))),
        ("account", str(facts.get("account_id", ""))),
        *((who, f"{person['username']} / {person['password']}") for who, person in people),
        ("processes", ", ".join(f"{name} {pid}" for name, pid in facts.get("processes", {}).items())),
    ]
    return [(name, value) for name, value in lines if value]


def snippets(facts: Mapping[str, Any]) -> tuple[str, str]:
    """A call in curl and one in Python, to paste."""
    base, key, model = facts["gateway_url"], facts["api_key"], facts.get("model", "gpt-4o-mini")
    body = f'{{"model": "{model}", "messages": [{{"role": "user", "content": "Say hello"}}]}}'
    curl = (
        f"\ncurl {base}/v1/chat/completions -H 'Authorization: Bearer {key}' \\\n"
        f"  -H 'Content-Type: application/json' -d '{body}'"
    )
    python = (
        f'\nfrom openai import OpenAI\nclient = OpenAI(base_url="{base}/v1", api_key="{key}")\n'
        f'messages = [{{"role": "user", "content": "Say hello"}}]\n'
        f'answer = client.chat.completions.create(model="{model}", messages=messages)\n'
        "print(answer.choices[0].message.content, answer.usage)\n"
    )
    return curl, python
