"""Tables that are older or newer than the code, and ways that do not exist, are one line each."""

from __future__ import annotations

import psycopg
import pytest
from typer.testing import CliRunner

from services.cli.failures import told_of
from services.cli.main import app
from services.common.histories import migrations_of, newest_revision

NEWER = "UPDATE alembic_version SET version_num = '0099'"
TWICE = "INSERT INTO alembic_version VALUES ('0001')"


def run(*arguments: str) -> tuple[int, str]:
    """Run a command in this process, and return its code and what it tells."""
    done = CliRunner().invoke(app, arguments)
    told = done.output
    if isinstance(done.exception, Exception):
        expected = told_of(done.exception)
        assert expected is not None, repr(done.exception)
        told += str(expected)
    return done.exit_code, told.strip()


@pytest.fixture(scope="module")
def newest() -> str:
    history = migrations_of("profile")
    assert history is not None
    return newest_revision(history)


@pytest.fixture
def url(auth_url: str, profile_url: str, commerce_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    urls = {"AUTH": auth_url, "PROFILE": profile_url, "COMMERCE": commerce_url}
    for name, each in urls.items():
        monkeypatch.setenv(f"LOCKSTEP_{name}_DATABASE_URL", each)
    return profile_url


def change(url: str, sql: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(sql.encode())


def test_a_way_that_does_not_exist_is_told_with_the_one_that_does(url: str, newest: str) -> None:
    refused = {
        ("--to", "0004"): f"it is at {newest}, beyond 0004: say --down-to 0004 to go back",
        ("--to", "base"): f"it is at {newest}, beyond base: say --down-to base to go back",
        ("--to", "0099"): f"there is no revision 0099: the newest is {newest}",
        ("--to", "-1"): f"there is no revision -1: the newest is {newest}",
        ("--to", ""): f"there is no revision without a name: the newest is {newest}",
        ("--down-to", "0099"): f"there is no revision 0099: the newest is {newest}",
    }
    for arguments, reason in refused.items():
        assert run("migrate", "profile", *arguments) == (1, f"cannot migrate profile: {reason}")
    for nothing_to_do in (("--to", newest), ("--down-to", newest)):
        assert run("migrate", "profile", *nothing_to_do) == (0, f"profile: at {newest}")

    change(url, "UPDATE alembic_version SET version_num = '0003'")
    reason = f"it is at 0003, before {newest}: say --to {newest} to go forward"
    told = run("migrate", "profile", "--down-to", newest)
    assert told == (1, f"cannot migrate profile: {reason}")


def test_one_way_at_a_time(url: str) -> None:
    code, told = run("migrate", "profile", "--to", "0010", "--down-to", "0009")
    assert code == 2
    assert "must not be given together with --to" in told


def test_newer_tables_are_left_as_they_are(url: str, newest: str) -> None:
    """So an older image can come back after a roll-out that has migrated."""
    change(url, NEWER)
    for arguments in (("migrate", "profile"), ("migrate", "profile", "--status")):
        assert run(*arguments) == (0, f"profile: at 0099, and this code knows {newest}")
    code, told = run("migrate", "profile", "--down-to", "0004")
    assert code == 1
    assert told == (
        f"cannot migrate profile: it is at 0099, which this code does not know (its newest is "
        f"{newest}): use the version of Lockstep that made it"
    )


def test_several_revisions_in_a_database_are_told(url: str) -> None:
    change(url, TWICE)
    for arguments in (("migrate", "profile"), ("migrate", "profile", "--status")):
        code, told = run(*arguments)
        assert code == 1
        assert told.startswith("cannot migrate profile: ")
        assert "\n" not in told


def test_a_command_on_older_tables_says_what_is_missing(url: str) -> None:
    assert run("migrate", "profile", "--down-to", "0004", "--destroy", "profile")[0] == 0
    code, told = run("reconcile")
    assert code == 1
    assert told.startswith("a database does not have the tables of this code (")
    assert told.endswith("): run `lockstep migrate`")
    code, told = run("status")
    assert code == 1
    assert "schema of profile: " in told
