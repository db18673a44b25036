"""Files of a system: secrets, facts, logs."""

import stat
from pathlib import Path

from leaky_tokens.local.facts import Facts
from leaky_tokens.local.generated import for_gateways, for_processes, generated_secrets
from leaky_tokens.local.place import LOG_BYTES, Place
from leaky_tokens.local.processes import Ports, programs


def mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


def test_secrets_are_made_once_and_are_ours_alone(tmp_path: Path) -> None:
    place = Place(tmp_path)
    first = generated_secrets(place)
    assert generated_secrets(place) == first
    assert mode(place.file("secrets.json")) == 0o600
    assert len(set(first.values())) == len(first)


def test_a_secret_that_is_new_joins_the_old_ones(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.write("secrets.json", {"cache": "kept"})
    assert generated_secrets(place)["cache"] == "kept"
    assert set(for_processes(generated_secrets(place))) == {
        "DJANGO_SECRET_KEY", "LEAKY_KEY_PEPPER", "LEAKY_CREDENTIAL_KEYS", "LEAKY_INTERNAL_KEYS",
    }  # fmt: skip


def test_the_gateways_key_is_the_gateways_alone(tmp_path: Path) -> None:
    known = generated_secrets(Place(tmp_path))
    assert set(for_gateways(known)) == {"GATEWAY_INTERNAL_KEY"}
    assert for_gateways(known)["GATEWAY_INTERNAL_KEY"] not in for_processes(known).values()
    stores = {"REDIS_URL": "redis://127.0.0.1:1/0"}
    knowing = [
        program.name
        for program in programs(Place(tmp_path), Ports(1, 2, 3, 4), stores, for_gateways(known))
        if "GATEWAY_INTERNAL_KEY" in program.environment
    ]
    assert knowing == ["gateway"]


def test_facts_follow_the_processes(tmp_path: Path) -> None:
    place = Place(tmp_path)
    facts = Facts(place)
    facts.started("gateway", 7)
    facts.ready("gateway")
    assert place.read("run.json")["status"] == "starting"
    facts.complete(api_key="k")
    assert place.read("run.json")["status"] == "ready"
    assert mode(place.file("run.json")) == 0o600
    facts.gone("gateway")
    assert (place.read("run.json")["status"], place.read("run.json")["processes"]) == ("restarting", {})
    facts.started("gateway", 8)
    facts.ready("gateway")
    assert (place.read("run.json")["status"], place.read("run.json")["processes"]) == ("ready", {"gateway": 8})
    facts.forget()
    assert place.read("run.json") == {}


def test_a_long_log_is_put_aside_and_three_are_kept(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.prepare()
    for number in range(5):
        place.rotate_log("gateway").write_text(f"{number} " + "x" * LOG_BYTES)
    place.rotate_log("gateway")
    kept = {file.name: file.read_text()[0] for file in (tmp_path / "logs").iterdir()}
    assert kept == {"gateway.log.1": "4", "gateway.log.2": "3", "gateway.log.3": "2"}


def test_the_tail_of_a_log(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.prepare()
    place.log("beat").write_text("".join(f"line {number}\n" for number in range(40)))
    assert place.log_tail("beat") == [f"line {number}" for number in range(25, 40)]
    assert place.log_tail("nobody") == []
