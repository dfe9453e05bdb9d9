"""The image and the compose file run what `lockstep up` runs, with settings that exist."""

import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from jsonschema import Draft202012Validator
from typer.main import get_command

from services.cli.clients import ClientTarget, find
from services.cli.main import app
from services.cli.postgres import EmbeddedPostgres
from services.cli.system import DATABASES, RELAY, SETTINGS
from services.common.key_files import initialise
from services.common.keys import SERVICES, KeyRing
from services.common.settings import CommonSettings, variable
from services.kernel.db.urls import parse, unparse
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
        "read_only": {"const": True},
        "tmpfs": {"const": ["/tmp"]},
        "cap_drop": {"const": ["ALL"]},
        "security_opt": {"const": ["no-new-privileges:true"]},
        "mem_limit": {"type": "string", "pattern": r"^\d+[mg]$"},
        "pids_limit": {"type": "integer"},
        "logging": {"type": "object", "required": ["driver", "options"]},
        "networks": {"type": "array", "items": {"enum": ["data", "calls"]}, "minItems": 1},
        "command": {"type": "array", "items": {"type": "string"}, "minItems": 2},
        "profiles": {"enum": [["operator"], ["events"]]},
        "environment": {"type": "object", "additionalProperties": {"type": "string"}},
        "ports": {
            "type": "array",
            "items": {"type": "string", "pattern": r"^127\.0\.0\.1:\d+:\d+$"},
        },
        "volumes": {
            "type": "array",
            "items": {"type": "string", "pattern": r"^[\w./-]+:/[\w./-]+(:ro)?$"},
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
            "anyOf": [
                {"required": ["test", "interval", "timeout", "retries"]},
                {"properties": {"disable": {"const": True}}, "required": ["disable"]},
            ],
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
        assert command[2].removeprefix("services.") in (*SETTINGS, RELAY)
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
        "nats",
        "relay-keys",
        RELAY,
    }
    assert services[RELAY]["command"] == ["python", "-m", f"services.{RELAY}"]
    by_profile = {name for name, each in services.items() if each.get("profiles") == ["events"]}
    assert by_profile == {"nats", "relay-keys", RELAY}
    for name in SETTINGS:
        assert services[name]["command"] == ["python", "-m", f"services.{name}"]
    assert services["keys"]["command"] == ["lockstep", "keys", "init"]
    assert services["migrate"]["command"] == ["lockstep", "migrate"]


def test_every_command_exists(compose: dict[str, Any], instructions: list[list[str]]) -> None:
    for service in compose["services"].values():
        if service["image"] == "lockstep":
            assert_exists([*service.get("entrypoint", ()), *service["command"]])
            check = service.get("healthcheck", {}).get("test", ["CMD", "lockstep"])
            assert check[0] == "CMD"
            assert_exists(check[1:])
    commands = [rest for name, rest in instructions if name == "CMD"]
    checks = [rest.partition("CMD ")[2] for name, rest in instructions if name == "HEALTHCHECK"]
    assert len(commands) == len(checks) == 2
    for command in (*commands, *checks):
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
        url = urls.popitem()[1]
        assert url.startswith(f"postgresql://{service}:")
        assert url.endswith(f"/{database}")
    owners = [name for name, each in compose["services"].items() if "_owner:" in str(each)]
    assert owners == ["migrate"]
    superuser = [name for name, each in compose["services"].items() if "//lockstep:" in str(each)]
    assert superuser == []


def test_the_gateway_cannot_reach_the_databases(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert services["postgres"]["networks"] == ["data"]
    assert services["gateway"]["networks"] == ["calls"]
    assert compose["networks"]["data"] == {"internal": True}
    for service in services.values():
        assert set(service["networks"]) <= set(compose["networks"])


def test_our_containers_may_do_what_they_need_alone(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["logging"]["options"].keys() == {"max-size", "max-file"}, name
        assert "mem_limit" in service, name
        if service["image"] == "lockstep":
            assert service["read_only"] is True
            assert service["cap_drop"] == ["ALL"]
            assert service["security_opt"] == ["no-new-privileges:true"]


def test_what_a_container_needs_is_declared(compose: dict[str, Any]) -> None:
    services, volumes = compose["services"], set(compose["volumes"])
    for service in services.values():
        sources = {volume.split(":")[0] for volume in service.get("volumes", ())}
        files = {source for source in sources if source.startswith("./")}
        assert all((ROOT / source).is_file() for source in files)
        assert sources - files <= volumes
        for name, need in service.get("depends_on", {}).items():
            is_one_shot = services[name].get("restart") == "no"
            assert is_one_shot == (need["condition"] == "service_completed_successfully")
            assert is_one_shot or "healthcheck" in services[name]


def test_health_checks_ask_the_ports_that_services_listen_on(compose: dict[str, Any]) -> None:
    for name in SETTINGS:
        test = compose["services"][name]["healthcheck"]["test"]
        assert test == ["CMD", "lockstep", "health", "self"]
        assert CommonSettings.model_fields[f"{name}_metrics_port"].default


def test_the_image_does_not_run_as_root(instructions: list[list[str]]) -> None:
    users = [rest for name, rest in instructions if name == "USER"]

    assert users == ["10001:10001", "10001:10001"]  # runAsNonRoot needs numbers


def test_the_image_ships_neither_tools_nor_what_builds_it(instructions: list[list[str]]) -> None:
    image, run = packages("requirements-image.lock"), packages("requirements-run.lock")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    embedded, tools = named(extras["embedded"]), named(extras["dev"])
    assert {"pytest", "mypy", "uv"} <= tools
    # mypy-protobuf makes the stubs, and needs the last of these.
    assert run & tools == embedded | {"types-protobuf"}
    assert not image & tools
    building = {"hatchling", "grpcio-tools"}
    assert image <= run
    assert embedded | building <= run - image
    of_tests = packages("requirements.lock")
    assert run <= of_tests, "the tests must run in what people run"


def test_what_the_projects_need_is_locked() -> None:
    needed = set()
    for path in ("pyproject.toml", "clients/python/pyproject.toml", "gateway/pyproject.toml"):
        project = tomllib.loads((ROOT / path).read_text())["project"]
        needed |= named(project["dependencies"])
    ours = {"lockstep", "lockstep-clients", "lockstep-gateway"}
    assert needed - ours <= packages("requirements-image.lock")


def named(requirements: list[str]) -> set[str]:
    """Return the names of the packages that are required."""
    return {re.split(r"[\[<>=~ ]", each)[0].lower() for each in requirements}


def packages(lock: str) -> set[str]:
    """Return the pinned packages of a lock with their versions left out."""
    found = re.findall(r"^([\w.-]+)==", (ROOT / lock).read_text(), re.MULTILINE)
    return {name.lower() for name in found}


def test_the_roles_of_a_service_reach_its_database_alone(postgres: EmbeddedPostgres) -> None:
    """The SQL that compose runs, on a real server, with other names."""
    made = ["one_auth", "one_profile"]
    sql = ROOT / "deploy" / "postgres" / "roles.sql"
    try:
        for service in made:
            told = {"service": service, "database": f"{service}db", "password": "a"}
            options = [f"--set={name}={value}" for name, value in told.items()]
            target = ClientTarget.of(postgres.url("postgres"))
            argv = [find("psql"), target.conninfo, "--set=ON_ERROR_STOP=1", *options]
            argv += ["--set=owner_password=b", f"--file={sql}", "--quiet"]
            subprocess.run(argv, env=target.environment, check=True, timeout=30)
        own = unparse(parse(postgres.url("one_authdb")) | {"user": "one_auth"})
        owner = unparse(parse(postgres.url("one_authdb")) | {"user": "one_auth_owner"})
        foreign = unparse(parse(postgres.url("one_profiledb")) | {"user": "one_auth"})
        with (
            psycopg.connect(own, autocommit=True) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            connection.execute("CREATE TABLE x ()")
        with psycopg.connect(owner, autocommit=True) as connection:
            connection.execute("CREATE TABLE x ()")
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            psycopg.connect(foreign).close()
    finally:
        with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
            for service in made:
                connection.execute(f"DROP DATABASE IF EXISTS {service}db WITH (FORCE)".encode())
                connection.execute(f"DROP ROLE IF EXISTS {service}, {service}_owner".encode())


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
    assert mounted.pop("relay-keys") == ["keys:/data/keys", "keys-relay:/data/keys/relay"]
    assert {name: volumes for name, volumes in mounted.items() if volumes} == {
        name: ["keys:/data/keys:ro", f"keys-{name}:/data/keys/{name}:ro"]
        for name in (*SERVICES, RELAY)
    }
    # A new volume takes its owner from the folder of the image that it covers.
    folders = [f"/data/keys/{name}" for name in (*SERVICES, RELAY)]
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
