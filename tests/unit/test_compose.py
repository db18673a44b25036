"""docker-compose.yml, held against the product: nothing here starts a container."""

import base64
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from apps.core.http.internal_token import public_key_of
from leaky_tokens.configuration import PAGE
from leaky_tokens.local.place import ROOT, Place
from leaky_tokens.local.postgres import APPLICATION, DATABASE, OWNER
from leaky_tokens.local.processes import Ports, programs
from leaky_tokens.local.valkey import CACHE, QUOTA

TEXT = (ROOT / "docker-compose.yml").read_text()
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["services"]

OF_IMAGES = {
    "POSTGRES_PASSWORD", "POSTGRES_OWNER_PASSWORD", "POSTGRES_APP_PASSWORD", "POSTGRES_INITDB_ARGS",
    "PROMETHEUS_MULTIPROC_DIR", "VALKEYCLI_AUTH",
}  # fmt: skip
"""What images and libraries read. Any other variable must be a setting of ours."""

MAY_BE_EMPTY = {"LEAKY_TRUSTED_ORIGINS", "GATEWAY_TRUSTED_PROXIES", "LEAKY_CORS_ORIGINS"}
BEHIND = {"auth", "token", "analytics", "registry", "config"}
"""Containers of which the launcher makes one process."""

ONE_SHOT = {"migrate", "seed"}
STORES = {"postgres", "quota", "cache"}
PUBLISHED = {"gateway": ["${GATEWAY_PORT:-8080}:8080"], "console": ["127.0.0.1:${CONSOLE_PORT:-8000}:8080"]}
OURS = set(SERVICES) - STORES


def declared() -> set[str]:
    """All of our settings, by the page that is rendered from them."""
    return set(re.findall(r"^\| `([A-Z_]+)` \|", PAGE.read_text(), re.MULTILINE))


def substitutions(text: str) -> dict[str, str]:
    """Variable to what stands behind it: ``:?…`` (needed), ``:-…`` (a default), or nothing."""
    return dict(re.findall(r"\$\{([A-Z_]+)([^}]*)\}", text))


def example() -> dict[str, str]:
    lines = (ROOT / ".env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


@pytest.mark.parametrize("name", SERVICES)
def test_every_variable_is_read_by_somebody(name: str) -> None:
    assert set(SERVICES[name].get("environment", {})) <= declared() | OF_IMAGES


def test_a_secret_has_no_default_and_its_absence_is_an_error() -> None:
    secrets = {
        name: behind for name, behind in substitutions(TEXT).items() if re.search("PASSWORD|SECRET|PEPPER|_KEY", name)
    }
    assert len(secrets) == 10
    assert all(behind.startswith(":?") for behind in secrets.values())


def test_the_example_names_every_variable_and_gives_no_secret_away() -> None:
    needed = {name for name, behind in substitutions(TEXT).items() if behind.startswith(":?")}
    assert needed == {name for name, value in example().items() if not value} - MAY_BE_EMPTY
    assert set(example()) <= set(substitutions(TEXT))


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_asked_how_it_is_or_ends(name: str) -> None:
    service = SERVICES[name]
    assert ("healthcheck" in service) == (name not in ONE_SHOT)
    assert service["restart"] == ("no" if name in ONE_SHOT else "unless-stopped")


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_has_limits_and_no_door_but_its_own(name: str) -> None:
    service = SERVICES[name]
    assert service["mem_limit"]
    assert service["cpus"]
    assert service["pids_limit"]
    assert service.get("ports") == PUBLISHED.get(name)
    assert "no-new-privileges:true" in service["security_opt"]


@pytest.mark.parametrize("name", sorted(OURS))
def test_our_containers_cannot_write_but_where_they_must(name: str) -> None:
    assert SERVICES[name]["read_only"] is True
    assert SERVICES[name]["cap_drop"] == ["ALL"]
    assert "/tmp" in SERVICES[name]["tmpfs"]  # noqa: S108 (a path inside the container)


def test_the_stores_are_on_the_inner_network_only() -> None:
    assert yaml.safe_load(TEXT)["networks"]["stores"] == {"internal": True}
    assert all(SERVICES[name]["networks"] == ["stores"] for name in STORES)
    assert {name for name in SERVICES if "outside" in SERVICES[name]["networks"]} == {*PUBLISHED, "stub-openai"}


@pytest.mark.parametrize(("name", "settings"), [("quota", QUOTA), ("cache", CACHE)])
def test_valkey_is_set_as_by_the_launcher(name: str, settings: dict[str, str]) -> None:
    words = iter(SERVICES[name]["command"])
    assert {word.removeprefix("--"): next(words) for word in words} == settings
    assert 'save ""' in SERVICES[name]["entrypoint"][2]


@pytest.mark.parametrize("name", sorted(OURS - ONE_SHOT - {"stub-openai"}))
def test_processes_wait_for_stores_that_answer_and_for_the_migrations(name: str) -> None:
    assert SERVICES[name]["depends_on"] == {
        "migrate": {"condition": "service_completed_successfully"},
        **{store: {"condition": "service_healthy"} for store in STORES},
    }


def test_the_gateways_metrics_are_in_memory_and_its_own() -> None:
    directory = SERVICES["gateway"]["environment"]["PROMETHEUS_MULTIPROC_DIR"]
    [mount] = [mount for mount in SERVICES["gateway"]["tmpfs"] if mount.startswith(directory)]
    [user] = re.findall(r"uid=(\d+)", mount)
    assert f"--uid {user} " in (ROOT / "docker" / "Dockerfile").read_text()


def test_only_migrations_know_the_owner() -> None:
    knows = {name for name, service in SERVICES.items() if "POSTGRES_OWNER_PASSWORD" in str(service)}
    assert knows == {"postgres", "migrate"}
    assert f"//{OWNER}:" in SERVICES["migrate"]["environment"]["DATABASE_URL"]
    for name in OURS - {"migrate", "stub-openai"}:
        assert SERVICES[name]["environment"]["DATABASE_URL"].startswith(f"postgres://{APPLICATION}:")
        assert SERVICES[name]["environment"]["DATABASE_URL"].endswith(f"/{DATABASE}")


def test_only_the_gateway_can_vouch_for_a_caller() -> None:
    assert {name for name, service in SERVICES.items() if "GATEWAY_INTERNAL_KEY" in str(service)} == {"gateway"}


def test_each_service_is_where_the_gateway_looks_and_sees_its_callers_rows_only() -> None:
    for word in SERVICES["gateway"]["environment"]["GATEWAY_SERVICES"].split(","):
        name, _, url = word.partition("=")
        assert url == f"http://{name}:8080"
        assert name in BEHIND
    for name in BEHIND:
        environment = SERVICES[name]["environment"]
        assert environment["LEAKY_SERVICES"] == name
        assert environment["LEAKY_DATABASE_SCOPE"] == "tenant"
        assert environment["DATABASE_POOL_SIZE"] > 0
        assert SERVICES[name]["networks"] == ["stores"]


def test_the_example_makes_the_public_half_of_an_internal_key() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("#   (printf"))
    command = " ".join(line.lstrip("# ") for line in lines[first : first + 2])
    key = base64.b64encode(bytes(range(32))).decode()
    environment = {"PATH": "/usr/bin:/bin", "GATEWAY_INTERNAL_KEY": key}
    made = subprocess.run(["sh", "-c", command], env=environment, check=True, capture_output=True, text=True)
    assert made.stdout.strip() == public_key_of(key)


def test_postgresql_gets_the_launchers_roles_and_database() -> None:
    script = (ROOT / "docker" / "postgres" / "init.sh").read_text()
    assert re.findall(r"CREATE ROLE (\w+)", script) == [OWNER, APPLICATION]
    assert f"CREATE DATABASE {DATABASE} OWNER {OWNER};" in script


@pytest.mark.parametrize("script", ["docker/entrypoint", "docker/postgres/init.sh"])
def test_scripts_are_programs(script: str) -> None:
    assert (ROOT / script).stat().st_mode & 0o111 == 0o111
    subprocess.run(["sh", "-n", str(ROOT / script)], check=True)


@pytest.fixture
def shown(tmp_path: Path) -> Path:
    """A directory whose ``python`` only shows what it was called with."""
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    python.chmod(0o755)
    return tmp_path


def called(shown: Path, *command: str) -> list[str]:
    environment = {"PATH": f"{shown}:/usr/bin:/bin"}
    entrypoint = str(ROOT / "docker" / "entrypoint")
    return subprocess.run(
        [entrypoint, *command], env=environment, check=True, capture_output=True, text=True
    ).stdout.splitlines()


@pytest.mark.parametrize("name", sorted(OURS - ONE_SHOT))
def test_a_container_runs_what_make_run_runs(name: str, shown: Path) -> None:
    launched = {
        program.name: program.command[program.command.index("-m") :]
        for program in programs(Place(shown), Ports(1, 2, 3, 4), {"REDIS_URL": "redis://127.0.0.1:1/0"}, {})
    }
    launched |= dict.fromkeys(BEHIND, launched["services"])
    places = re.compile(r"127\.0\.0\.1|0\.0\.0\.0|\d+|/\S+")
    assert [places.sub("…", word) for word in called(shown, *SERVICES[name]["command"])] == [
        places.sub("…", word) for word in launched[name]
    ]


def test_the_one_shots_are_commands_of_ours(shown: Path) -> None:
    assert called(shown, *SERVICES["migrate"]["command"]) == ["manage.py", "migrate", "--no-input"]
    assert called(shown, *SERVICES["seed"]["command"])[:2] == ["manage.py", "seed_demo"]


def test_an_unknown_process_is_an_error(shown: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        called(shown, "gatway")
