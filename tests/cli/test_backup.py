"""`lockstep backup` and `restore`: whole or refused, and nothing is lost without the word."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

from services.cli import backup
from services.cli.errors import CommandError
from services.cli.main import app
from services.cli.postgres import EmbeddedPostgres
from services.common.files import FileProblem
from services.common.key_files import initialise
from tests.cli.conftest import ROOT
from tests.conftest import Databases
from tests.postgres import fresh_database
from tests.small_disk import small_disk

SERVICES = ("auth", "profile", "commerce")
CATEGORY = "INSERT INTO categories (id, name, description) VALUES (uuidv7(), %s, '')"
Use = Callable[[dict[str, str]], None]


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Use:
    """Point the command to databases."""
    monkeypatch.setenv("LOCKSTEP_HOME", str(tmp_path / "home"))

    def point(urls: dict[str, str]) -> None:
        for service, url in urls.items():
            monkeypatch.setenv(f"LOCKSTEP_{service.upper()}_DATABASE_URL", url)

    return point


@pytest.fixture
def full(databases: Databases, stack: ExitStack) -> dict[str, str]:
    """Return migrated databases with a category."""
    urls = {service: databases.fresh(stack, service) for service in SERVICES}
    categorise(urls["commerce"], "mugs")
    return urls


@pytest.fixture
def empty(postgres: EmbeddedPostgres, stack: ExitStack) -> dict[str, str]:
    """Return databases without a table."""
    return {service: stack.enter_context(fresh_database(postgres)) for service in SERVICES}


@pytest.fixture
def kept(use: Use, full: dict[str, str], tmp_path: Path) -> Path:
    """Make a backup with keys."""
    initialise(tmp_path / "home" / "keys")
    use(full)
    folder = tmp_path / "backup"
    run("backup", str(folder), "--keys")
    return folder


def run(*arguments: str) -> str:
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def refusal(*arguments: str) -> str:
    with pytest.raises((CommandError, FileProblem)) as refused:
        CliRunner().invoke(app, arguments, catch_exceptions=False)
    return str(refused.value)


def categorise(url: str, name: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(CATEGORY.encode(), [name])


def categories(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        return [row[0] for row in connection.execute("SELECT name FROM categories ORDER BY name")]


def test_a_backup_comes_back_in_empty_databases(
    kept: Path, use: Use, empty: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCKSTEP_KEYS", str(tmp_path / "elsewhere"))
    use(empty)
    output = run("restore", str(kept), "--keys")
    assert output.endswith("everything agrees\n")
    assert categories(empty["commerce"]) == ["mugs"]
    old, new = tmp_path / "home" / "keys", tmp_path / "elsewhere"
    for path in [each for each in old.rglob("*") if each.is_file() and each.name != ".lock"]:
        copy = new / path.relative_to(old)
        assert copy.read_bytes() == path.read_bytes()
        assert copy.stat().st_mode & 0o777 == 0o600
    run("migrate")  # it is whole: its history goes on


def test_a_backup_says_what_it_is(kept: Path) -> None:
    manifest = json.loads((kept / "manifest.json").read_text())
    assert set(manifest["dumps"]) == set(SERVICES)
    assert manifest["has_keys"] is True
    moments = {name: dump["snapshot_time"] for name, dump in manifest["dumps"].items()}
    assert moments["auth"] <= moments["commerce"] <= moments["profile"]
    for path in kept.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_data_are_replaced_with_the_word_only(kept: Path, full: dict[str, str]) -> None:
    categorise(full["commerce"], "later")
    text = refusal("restore", str(kept))
    assert text.count("holds data: say --replace to lose them") == 3
    assert categories(full["commerce"]) == ["later", "mugs"]
    run("restore", str(kept), "--replace")
    assert categories(full["commerce"]) == ["mugs"]


def test_databases_in_use_are_never_replaced(kept: Path, full: dict[str, str]) -> None:
    with psycopg.connect(full["profile"], application_name="profile@here:7"):
        text = refusal("restore", str(kept), "--replace")
    assert text == "the database of profile is in use by profile@here:7: stop them first"


@pytest.mark.parametrize("damage", ["cut", "missing", "unfinished", "newer", "later code"])
def test_a_damaged_backup_is_refused_before_anything_is_changed(
    kept: Path, use: Use, empty: dict[str, str], damage: str
) -> None:
    dump, path = kept / "profile.dump", kept / "manifest.json"
    manifest = json.loads(path.read_text())
    expected = {
        "cut": f"{dump} is damaged",
        "missing": f"{dump} is damaged",
        "unfinished": f"{path} is missing",
        "newer": "is of format 99",
        "later code": "install that version, or a later one",
    }[damage]
    match damage:
        case "cut":
            dump.write_bytes(dump.read_bytes()[:100])
        case "missing":
            dump.unlink()
        case "unfinished":
            path.unlink()
        case "newer":
            path.write_text(json.dumps(manifest | {"format": 99}))
        case _:
            manifest["dumps"]["profile"]["revision"] = "9999"
            path.write_text(json.dumps(manifest))
    use(empty)
    assert expected in refusal("restore", str(kept))
    with psycopg.connect(empty["auth"]) as connection:
        assert connection.execute("SELECT to_regclass('users')").fetchone() == (None,)


def test_keys_that_are_there_are_not_replaced(kept: Path, use: Use, empty: dict[str, str]) -> None:
    use(empty)
    assert "holds keys already" in refusal("restore", str(kept), "--keys")


def test_a_folder_with_files_takes_no_backup(kept: Path) -> None:
    assert "must be an empty folder" in refusal("backup", str(kept))


def test_a_backup_that_fails_leaves_nothing_behind(
    use: Use, full: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(full)
    monkeypatch.setattr(backup, "_snapshot", broken_snapshot)
    assert "pg_dump failed" in refusal("backup", str(tmp_path / "backup"))
    assert list((tmp_path / "backup").iterdir()) == []


def broken_snapshot(service: str, connection: psycopg.Connection) -> object:
    from services.cli.manifest import Dump

    return "00000000-00000000-1", Dump(f"{service}.dump", "0001", "", 1)


@pytest.mark.parametrize("kept", ["dump", "keys"])
def test_a_backup_on_a_full_disk_is_told_and_leaves_nothing_behind(
    use: Use, full: dict[str, str], tmp_path: Path, kept: str
) -> None:
    """The dumps of empty databases take some hundred KiB, and the keys nothing but a page each."""
    use(full)
    initialise(tmp_path / "home" / "keys")
    folder = tmp_path / "backup"
    with small_disk(folder, size="64k" if kept == "dump" else "4m"):
        if kept == "keys":
            many = tmp_path / "home" / "keys" / "auth" / "filler"
            many.write_bytes(bytes(5 * 1024 * 1024))
        text = refusal("backup", str(folder), "--keys")
        assert list(folder.iterdir()) == []
    assert text.count("\n") == 0
    assert str(folder) in text
    assert "No space left on device" in text


def test_a_backup_that_may_not_grow_is_told_and_leaves_nothing_behind(
    use: Use, full: dict[str, str], tmp_path: Path
) -> None:
    use(full)
    folder = tmp_path / "backup"
    argv = [sys.executable, "-m", "services.cli", "backup", str(folder)]
    done = subprocess.run(
        ["bash", "-c", 'ulimit -f 16; exec "$@"', "bash", *argv],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr.count("lockstep: ")) == (1, 1)
    assert f"lockstep: {folder}/auth.dump is not whole: pg_dump failed" in done.stderr
    assert "File too large" in done.stderr
    assert list(folder.iterdir()) == []


def test_the_password_is_not_among_the_arguments(tmp_path: Path) -> None:
    from services.cli.clients import ClientTarget

    target = ClientTarget.of("postgresql://u:hunter2@h/authdb")
    assert "hunter2" not in target.conninfo
    assert target.environment["PGPASSWORD"] == "hunter2"
