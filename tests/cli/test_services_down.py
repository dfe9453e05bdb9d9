"""With everything down, each command says in a sentence what to do, and never what gRPC says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from services.cli.failures import told_of
from services.cli.main import app
from services.common.key_files import initialise
from tests.cli.test_tables import commands
from tests.ports import settings_of_ports

ID = "0198a000-0000-7000-8000-000000000001"
MAIL = ("--email", "ada@example.com")
ACCOUNTS = Path(__file__).with_name("accounts.jsonl")
NEED_SERVICES = {
    ("admin", "create"): (*MAIL, "--password-stdin"),
    ("admin", "demote"): MAIL,
    ("admin", "end-invitation"): (ID,),
    ("admin", "invitations"): (),
    ("admin", "invite"): (*MAIL, "--role", "student"),
    ("admin", "import"): (str(ACCOUNTS),),
    ("admin", "list"): (),
    ("admin", "promote"): MAIL,
    ("admin", "resend-code"): MAIL,
    ("admin", "reset-mfa"): MAIL,
    ("admin", "show"): MAIL,
    ("admin", "unlock"): MAIL,
    ("audit",): (),
    ("health",): ("auth",),
    ("outbox", "retry"): (),
    ("sagas", "list"): (),
    ("sagas", "retry"): (ID,),
    ("sagas", "show"): (ID,),
}
NEED_DATABASES: dict[tuple[str, ...], tuple[str, ...]] = {
    ("backup",): ("backup-of-nothing",),
    ("migrate",): (),
    ("reconcile",): (),
    ("seed",): ("--products", "1"),
}
# These need a running `lockstep up`, or tell that nothing runs: tests/e2e/test_operating.py.
NEED_UP = {("restart",), ("status",), ("stop",)}
# `psql` tells its errors itself, `restore` reads its folder first, `up` starts what is missing.
ALONE = {
    ("certs", "init"),
    ("certs", "list"),
    ("certs", "renew"),
    ("keys", "init"),
    ("keys", "list"),
    ("keys", "retire"),
    ("keys", "rotate"),
    ("keys", "rotate-secret"),
    ("mail", "list"),
    ("mail", "prune"),
    ("mail", "show"),
    ("psql",),
    ("restore",),
    ("settings",),
    ("up",),
}
TECHNICAL = re.compile(r"UNAVAILABLE|StatusCode|ipv4:|last error|INVALID_|Traceback|grpc")


def test_every_command_is_in_one_of_the_tables() -> None:
    groups = {path[:-1] for path, _ in commands(get_command(app))}
    leaves = {path for path, _ in commands(get_command(app))} - groups
    assert leaves == {*NEED_SERVICES, *NEED_DATABASES, *NEED_UP, *ALONE}


@pytest.fixture
def nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands find keys, and neither a service nor a database."""
    initialise(tmp_path / "keys")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOCKSTEP_HOME", str(tmp_path))
    monkeypatch.setenv("LOCKSTEP_DATABASE_URL", "postgresql://u:hunter2@127.0.0.1:1/x")
    for name, port in settings_of_ports().items():
        monkeypatch.setenv(name, port)


def failure(path: tuple[str, ...], arguments: tuple[str, ...]) -> str:
    """Run a command that fails, and return what it prints."""
    done = CliRunner().invoke(app, [*path, *arguments], input="Secure-Horse-42\n")
    assert isinstance(done.exception, Exception), done.output
    told = told_of(done.exception)
    assert told is not None, repr(done.exception)
    return str(told)


@pytest.mark.usefixtures("nothing")
@pytest.mark.parametrize("path", NEED_SERVICES, ids=" ".join)
def test_a_service_that_is_down_is_named_with_what_to_do(path: tuple[str, ...]) -> None:
    line = failure(path, NEED_SERVICES[path])
    assert re.match(r"auth (cannot be reached|is not serving) at 127\.0\.0\.1:\d+", line)
    assert TECHNICAL.search(line) is None
    assert "lockstep up" in line
    assert "\n" not in line.removesuffix("\nthen run the same command again to go on")


@pytest.mark.usefixtures("nothing")
@pytest.mark.parametrize("path", NEED_DATABASES, ids=" ".join)
def test_a_database_that_is_down_is_named_with_its_setting(path: tuple[str, ...]) -> None:
    line = failure(path, NEED_DATABASES[path])
    assert "127.0.0.1" in line
    assert re.search(r"LOCKSTEP_[A-Z]+_DATABASE_URL", line)
    assert "hunter2" not in line
    assert "\n" not in line
