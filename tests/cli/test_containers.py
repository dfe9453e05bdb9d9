"""The image and the compose file run what `lockstep up` runs, with settings that exist."""

import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from typer.main import get_command

from services.cli.main import app
from services.cli.system import DATABASES, SETTINGS
from services.common.key_files import initialise
from services.common.keys import SERVICES, KeyRing
from services.common.settings import CommonSettings, variable
from tests.cli.conftest import ROOT

SERVICE_SCHEMA = {
    "type": "object",
    "required": ["image"],
    "additionalProperties": False,
    "properties": {
        "image": {"type": "string"},
        "build": {"const": "."},
        "restart": {"enum": ["no", "unless-stopped"]},
        "stop_grace_period": {"type": "string", "pattern": r"^\d+s$"},
        "entrypoint": {"const": ["lockstep"]},
        "command": {"type": "array", "items": {"type": "string"}, "minItems": 2},
        "profiles": {"const": ["operator"]},
        "environment": {"type": "object", "additionalProperties": {"type": "string"}},
        "ports": {
            "type": "array",
            "items": {"type": "string", "pattern": r"^127\.0\.0\.1:\d+:\d+$"},
        },
        "volumes": {
            "type": "array",
            "items": {"type": "string", "pattern": r"^[\w-]+:/[\w/]+(:ro)?$"},
        },
        "depends_on": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "required": ["condition"],
                "properties": {
                    "condition": {"enum": ["service_healthy", "service_completed_successfully"]}
                },
            },
        },
        "healthcheck": {
            "type": "object",
            "required": ["test", "interval", "timeout", "retries"],
            "properties": {"test": {"type": "array", "items": {"type": "string"}}},
        },
    },
}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return found


@pytest.fixture(scope="module")
def instructions() -> list[list[str]]:
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    return [line.split(maxsplit=1) for line in text.splitlines() if re.match(r"[A-Z]+ ", line)]


def assert_exists(command: list[str]) -> None:
    if command[0] == "python":
        assert command[1] == "-m"
        assert command[2].removeprefix("services.") in SETTINGS
        return
    assert command[0] == "lockstep"
    known = get_command(app)
    for word in command[1:]:
        children = getattr(known, "commands", None)
        if children is None:
            return  # an argument of the command
        assert word in children
        known = children[word]


def test_every_container_is_described_correctly(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        Draft202012Validator(SERVICE_SCHEMA).validate(service)


def test_the_containers_are_the_processes_of_up(compose: dict[str, Any]) -> None:
    services = compose["services"]

    # One machine has one server and no standby, so there is no failover to reconcile.
    assert set(services) == {
        "postgres",
        "mail",
        "keys",
        "migrate",
        *SETTINGS,
        "reconcile",
        "operator",
    }
    for name in SETTINGS:
        assert services[name]["command"] == ["python", "-m", f"services.{name}"]
    assert services["keys"]["command"] == ["lockstep", "keys", "init"]
    assert services["migrate"]["command"] == ["lockstep", "migrate"]


def test_every_command_exists(compose: dict[str, Any], instructions: list[list[str]]) -> None:
    for service in compose["services"].values():
        if service["image"] == "lockstep":
            assert_exists([*service.get("entrypoint", ()), *service["command"]])
            check = service.get("healthcheck", {"test": ["CMD", "lockstep"]})["test"]
            assert check[0] == "CMD"
            assert_exists(check[1:])
    (command,) = [rest for name, rest in instructions if name == "CMD"]
    assert_exists(yaml.safe_load(command))


def test_every_setting_exists(compose: dict[str, Any], instructions: list[list[str]]) -> None:
    known = {variable(name) for cls in SETTINGS.values() for name in cls.model_fields}
    used = {
        name
        for service in compose["services"].values()
        for name in service.get("environment", {})
        if name.startswith("LOCKSTEP_")
    }
    for rest in (rest for name, rest in instructions if name == "ENV"):
        used |= {word.split("=")[0] for word in shlex.split(rest) if word.startswith("LOCKSTEP_")}

    assert used <= known


def test_each_service_is_told_its_own_database_only(compose: dict[str, Any]) -> None:
    for service, database in DATABASES.items():
        environment = compose["services"][service]["environment"]
        urls = {name: url for name, url in environment.items() if name.endswith("DATABASE_URL")}
        assert urls.keys() == {variable(f"{service}_database_url")}
        assert urls.popitem()[1].endswith(f"/{database}")


def test_what_a_container_needs_is_declared(compose: dict[str, Any]) -> None:
    services, volumes = compose["services"], set(compose["volumes"])
    for service in services.values():
        assert {volume.split(":")[0] for volume in service.get("volumes", ())} <= volumes
        for name, need in service.get("depends_on", {}).items():
            is_one_shot = services[name].get("restart") == "no"
            assert is_one_shot == (need["condition"] == "service_completed_successfully")
            assert is_one_shot or "healthcheck" in services[name]


def test_health_checks_ask_the_ports_that_services_listen_on(compose: dict[str, Any]) -> None:
    for name in DATABASES:
        port = CommonSettings.model_fields[f"{name}_port"].default
        assert compose["services"][name]["healthcheck"]["test"][-1] == f"127.0.0.1:{port}"


def test_the_image_does_not_run_as_root(instructions: list[list[str]]) -> None:
    users = [rest for name, rest in instructions if name == "USER"]

    assert users == ["lockstep"]


def test_the_image_is_made_of_files_that_exist(instructions: list[list[str]]) -> None:
    copies = [rest.split()[:-1] for name, rest in instructions if name == "COPY"]
    sources = [source for copy in copies for source in copy if not copy[0].startswith("--from")]
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    sent = [line.removeprefix("!") for line in lines if line.startswith("!")]

    assert sources
    for source in sources:
        assert (ROOT / source).exists()
        assert any(Path(source).is_relative_to(part) for part in sent)


def test_each_container_gets_its_own_keys_and_the_public_ones(
    compose: dict[str, Any], instructions: list[list[str]]
) -> None:
    mounted = {
        name: [each for each in service.get("volumes", ()) if "keys" in each]
        for name, service in compose["services"].items()
    }
    made = ["keys:/data/keys", *(f"keys-{name}:/data/keys/{name}" for name in SERVICES)]
    assert mounted.pop("keys") == made
    assert {name: volumes for name, volumes in mounted.items() if volumes} == {
        name: ["keys:/data/keys:ro", f"keys-{name}:/data/keys/{name}:ro"] for name in SERVICES
    }
    # A new volume takes its owner from the folder of the image that it covers.
    folders = [f"/data/keys/{name}" for name in SERVICES]
    (run,) = [rest for name, rest in instructions if name == "RUN" and "/data/keys" in rest]
    assert shlex.split(run)[-len(folders) :] == folders


def test_what_a_container_gets_is_enough_for_its_process(tmp_path: Path) -> None:
    """The volumes as folders: the public one covers nothing but trusted.json."""
    initialise(tmp_path / "all")
    for service in SERVICES:
        given = tmp_path / service
        given.mkdir()
        shutil.copy(tmp_path / "all" / "trusted.json", given)
        for other in SERVICES:
            (given / other).mkdir()  # the places where the others' volumes would be
        shutil.copytree(tmp_path / "all" / service, given / service, dirs_exist_ok=True)
        assert KeyRing.load(given, service).service == service
