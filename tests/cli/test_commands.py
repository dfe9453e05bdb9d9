"""Every command explains itself, and fails in one line."""

import subprocess
import sys
from importlib.metadata import version

import pytest
from typer.main import get_command

from services.cli.main import app
from services.common.settings import embedded_socket_folder
from tests.cli.conftest import Lockstep, finish


def names(command: object, *path: str) -> list[tuple[str, ...]]:
    found = [path]
    for name, child in getattr(command, "commands", {}).items():
        found += names(child, *path, name)
    return found


@pytest.mark.parametrize("path", names(get_command(app)), ids=" ".join)
def test_every_command_has_help(path: tuple[str, ...]) -> None:
    command = get_command(app)
    for name in path:
        command = command.commands[name]  # type: ignore[attr-defined]

    assert command.help
    for parameter in command.params:
        assert getattr(parameter, "help", None) or parameter.name == "help"


def test_help_says_what_the_command_is_for(lockstep: Lockstep) -> None:
    code, output, _ = finish(lockstep("--help"))

    assert code == 0
    assert "Run and look after Lockstep" in output


def test_the_version_is_that_of_the_package(lockstep: Lockstep) -> None:
    code, output, _ = finish(lockstep("--version"))
    assert (code, output) == (0, f"lockstep {version('lockstep')}\n")


def test_help_has_a_short_option_everywhere(lockstep: Lockstep) -> None:
    for arguments in (("-h",), ("sagas", "-h"), ("sagas", "list", "-h")):
        code, output, _ = finish(lockstep(*arguments))
        assert (code, output[:6]) == (0, "Usage:")


def test_completion_is_shown_for_the_shell_that_asks(environment: dict[str, str]) -> None:
    # The shell is found among the parents, so bash must stay one.
    line = f"{sys.executable} -m services.cli --show-completion; exit $?"
    done = subprocess.run(
        ["bash", "-c", line], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "complete" in done.stdout


def test_an_unknown_command_is_refused(lockstep: Lockstep) -> None:
    code, _, errors = finish(lockstep("fly"))

    assert code == 2
    assert "No such command 'fly'" in errors


def test_psql_runs_on_a_service_database_without_its_password_in_the_arguments(
    lockstep: Lockstep, environment: dict[str, str]
) -> None:
    url = "postgresql://u:hunter2@127.0.0.1:1/authdb"

    code, _, errors = finish(
        lockstep("psql", "auth", "-c", "SELECT 1", LOCKSTEP_AUTH_DATABASE_URL=url)
    )

    assert code == 2  # psql's own: the connection failed
    assert "hunter2" not in errors
    assert "127.0.0.1" in errors


@pytest.mark.parametrize(
    "arguments",
    [
        ("psql", "nothing"),
        ("health", "127.0.0.1:1"),
        ("health", "http://127.0.0.1:1"),
        ("health", "auth"),
    ],
)
def test_what_is_not_there_is_one_line(lockstep: Lockstep, arguments: tuple[str, ...]) -> None:
    code, output, errors = finish(lockstep(*arguments))

    assert (code, output, errors.count("\n")) == (1, "", 1)
    assert errors.startswith("lockstep: ")


def test_no_socket_folder_is_made_by_asking_for_settings(
    lockstep: Lockstep, environment: dict[str, str]
) -> None:
    from pathlib import Path

    finish(lockstep("settings", "--json"))

    home = Path(environment["LOCKSTEP_HOME"])
    assert not home.exists()
    assert not embedded_socket_folder(home / "postgres").exists()
