"""The embedded PostgreSQL: started, stopped, adopted, without touching others' folders."""

import contextlib
import os
import shutil
import signal
import stat
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from services.cli import postgres
from services.cli.errors import CommandError
from services.cli.postgres import THROWAWAY, EmbeddedPostgres, stop_leftover
from services.cli.processes import is_alive, wait
from services.kernel.db.urls import on_database
from tests.cli.conftest import ROOT


@pytest.fixture
def server(home: Path) -> Iterator[EmbeddedPostgres]:
    embedded = EmbeddedPostgres(home / "postgres", options=THROWAWAY)
    yield embedded
    embedded.destroy()


def one(url: str, query: str) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


def test_a_fresh_server_answers_through_its_socket_only(server: EmbeddedPostgres) -> None:
    server.start()

    assert one(server.url("postgres"), "SHOW listen_addresses") == ""
    assert one(server.url("postgres"), "SHOW server_encoding") == "UTF8"
    assert one(server.url("postgres"), "SHOW max_connections") == "200"


def test_the_socket_is_closed_to_other_users(server: EmbeddedPostgres) -> None:
    server.start()

    assert stat.S_IMODE(server.socket_folder.stat().st_mode) == 0o700


def test_data_outlive_a_stop_and_a_start(server: EmbeddedPostgres) -> None:
    server.start()
    server.create_databases(["authdb"])
    server.stop()

    server.start()

    assert one(server.url("authdb"), "SELECT current_database()") == "authdb"


def test_databases_that_exist_already_are_left_alone(server: EmbeddedPostgres) -> None:
    server.start()
    server.create_databases(["authdb"])
    with psycopg.connect(server.url("authdb")) as connection:
        connection.execute("CREATE TABLE kept ()")

    server.create_databases(["authdb", "profiledb"])

    assert one(server.url("authdb"), "SELECT count(*) FROM pg_tables WHERE tablename = 'kept'") == 1
    assert one(server.url("profiledb"), "SELECT 1") == 1


def test_the_address_is_known_before_the_first_start(home: Path, server: EmbeddedPostgres) -> None:
    before = EmbeddedPostgres(home / "postgres").url("authdb")

    server.start()

    assert server.url("authdb") == before


def test_a_long_path_of_the_home_does_not_matter(home: Path) -> None:
    deep = EmbeddedPostgres(home / ("d" * 120) / "postgres", options=THROWAWAY)
    try:
        deep.start()
        assert one(deep.url("postgres"), "SELECT 1") == 1
    finally:
        deep.destroy()


def test_a_server_ends_in_order_when_its_parent_is_killed(
    home: Path, server: EmbeddedPostgres
) -> None:
    pid = start_and_die(home)

    with contextlib.suppress(psutil.NoSuchProcess):
        assert wait([psutil.Process(pid)], 10) == []
    server.start()

    assert "not properly shut down" not in (server.data.parent / "postgres.log").read_text()


def test_a_server_left_over_is_stopped_and_its_data_adopted(server: EmbeddedPostgres) -> None:
    server.start()
    server.create_databases(["authdb"])
    left_over = psutil.Process(int((server.data / "postmaster.pid").read_text().split()[0]))

    adopter = EmbeddedPostgres(server.folder, options=THROWAWAY)
    adopter.start()
    try:
        assert one(adopter.url("authdb"), "SELECT current_database()") == "authdb"
        assert not is_alive(left_over)
    finally:
        adopter.stop()


def test_a_server_that_was_killed_and_never_reaped_does_not_keep_the_next_from_starting(
    server: EmbeddedPostgres,
) -> None:
    server.start()
    server.create_databases(["authdb"])
    assert server._process is not None
    server._process.kill()  # a zombie: its parent does not wait for it

    adopter = EmbeddedPostgres(server.folder, options=THROWAWAY)
    adopter.start()
    try:
        assert one(adopter.url("authdb"), "SELECT current_database()") == "authdb"
    finally:
        adopter.stop()


def test_a_stale_pid_file_that_names_another_process_harms_nobody(
    server: EmbeddedPostgres,
) -> None:
    server.prepare()
    with subprocess.Popen(["sleep", "60"]) as bystander:
        (server.data / "postmaster.pid").write_text(f"{bystander.pid}\n{server.data}\n")

        stop_leftover(server.data)

        assert bystander.poll() is None
        bystander.kill()


def test_a_cluster_of_another_version_is_refused_in_one_line(server: EmbeddedPostgres) -> None:
    server.prepare()
    (server.data / "PG_VERSION").write_text("12\n")

    with pytest.raises(CommandError, match=r"PostgreSQL 12, the binaries are \d+"):
        server.start()


def test_a_socket_folder_made_by_somebody_else_is_refused(
    home: Path, server: EmbeddedPostgres
) -> None:
    home.mkdir()
    server.socket_folder.symlink_to(home)
    try:
        with pytest.raises(CommandError, match="made by another user"):
            server.start()
    finally:
        server.socket_folder.unlink()


@pytest.mark.skipif(os.getuid() != 0, reason="only root must change the user")
class TestAsRoot:
    def test_the_server_runs_under_an_unprivileged_user(self, server: EmbeddedPostgres) -> None:
        server.start()

        pid = int((server.data / "postmaster.pid").read_text().split()[0])
        assert psutil.Process(pid).uids().real != 0

    def test_no_permission_of_any_other_folder_changes(
        self, home: Path, server: EmbeddedPostgres
    ) -> None:
        home.mkdir(mode=0o700)
        others = [home, *home.parents, Path(sys.prefix), *Path(sys.prefix).parents, ROOT]
        before = [(path, path.stat().st_mode, path.stat().st_uid) for path in others]

        server.start()

        assert [(path, path.stat().st_mode, path.stat().st_uid) for path in others] == before

    def test_binaries_that_the_user_cannot_reach_are_copied(
        self, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        home.parent.chmod(0o755)
        monkeypatch.setattr(postgres, "SYSTEM_FOLDER", home.parent / "system")
        monkeypatch.setattr(postgres, "_can_run", lambda program, uid: False)

        found = postgres.binaries(uid=65534)

        assert found.is_relative_to(home.parent / "system")
        assert (found / "postgres").exists()
        assert postgres.binaries(uid=65534) == found

    def test_a_home_that_was_deleted_begins_anew(self, server: EmbeddedPostgres) -> None:
        server.start()
        server.create_databases(["authdb"])
        server.stop()
        first = server.folder.resolve()
        server.folder.unlink()

        server.start()

        assert server.folder.resolve() != first
        shutil.rmtree(first)
        with pytest.raises(psycopg.OperationalError, match="authdb"):
            psycopg.connect(server.url("authdb"))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://u:p@h:5432", "postgresql://u:p@h:5432/x"),
        ("postgresql://u@h/old?sslmode=require", "postgresql://u@h/x?sslmode=require"),
        ("postgresql:///?host=/tmp/a&user=u", "postgresql:///x?host=/tmp/a&user=u"),
        ("postgres://h?user=u", "postgresql://u@h/x"),
        (
            "postgresql://u:p@a:1,b:2?target_session_attrs=read-write",
            "postgresql://u:p@a:1,b:2/x?target_session_attrs=read-write",
        ),
        ("postgresql:///old?host=a,b&port=1,2&user=u", "postgresql://u@a:1,b:2/x"),
        ("postgresql://u@h?dbname=old", "postgresql://u@h/x"),
        ("postgresql://u:a?b#c@h/old", "postgresql://u:a%3Fb%23c@h/x"),
        ("postgresql://u@[::1]:5432/old", "postgresql://u@[::1]:5432/x"),
    ],
)
def test_a_server_url_becomes_the_url_of_a_database(url: str, expected: str) -> None:
    assert on_database(url, "x") == expected


def start_and_die(home: Path) -> int:
    """Start a server in a process that then kills itself, and return the server's id."""
    script = f"""
        import os, signal, pathlib
        from services.cli.postgres import THROWAWAY, EmbeddedPostgres
        server = EmbeddedPostgres(pathlib.Path({str(home)!r}) / "postgres", options=THROWAWAY)
        server.start()
        print((server.data / "postmaster.pid").read_text().split()[0], flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    return int(done.stdout)


def test_a_slow_statement_is_logged_without_its_parameters(server: EmbeddedPostgres) -> None:
    server.start()
    with psycopg.connect(server.url("postgres")) as connection:
        connection.execute("SELECT pg_sleep(0.3), %s::text", ["Secure-Horse-42"])
        assert one(server.url("postgres"), "SHOW log_lock_waits") == "on"
        connection.execute("CREATE EXTENSION pg_stat_statements")
        connection.execute("SELECT count(*) FROM pg_stat_statements")
    log = (server.folder.resolve() / "postgres.log").read_text()
    assert "duration: " in log
    assert "pg_sleep" in log
    assert "Secure-Horse" not in log
