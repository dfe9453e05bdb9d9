"""A standby of a throwaway PostgreSQL, by streaming replication, whose replay a test may pause."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path
from typing import Final, LiteralString

import psycopg

from services.cli.postgres import SUPERUSER, THROWAWAY, EmbeddedPostgres, environment
from tests.waiting import wait_until

WAIT_SECONDS_MAX: Final = 30.0
BACKUP_SECONDS_MAX: Final = 120


class StandbyPostgres(EmbeddedPostgres):
    """Follows a server of this machine."""

    def __init__(self, folder: Path, primary: EmbeddedPostgres) -> None:
        # Old rows stay on the primary while they are read here, as they should.
        super().__init__(folder, options=THROWAWAY | {"hot_standby_feedback": "on"})
        self._primary = primary

    def _initdb(self) -> None:
        source = ["-h", str(self._primary.socket_folder), "-U", SUPERUSER, "-D", str(self.data)]
        argv = ["pg_basebackup", *source, "--write-recovery-conf", "--checkpoint=fast", "--no-sync"]
        subprocess.run(
            self._as_owner(argv, signal.SIGKILL),
            cwd="/",
            env=environment(),
            capture_output=True,
            timeout=BACKUP_SECONDS_MAX,
            check=True,
        )

    def pause(self, *, is_paused: bool) -> None:
        """Stop to apply what the primary sends, or go on."""
        function = "pg_wal_replay_pause" if is_paused else "pg_wal_replay_resume"
        state = "paused" if is_paused else "not paused"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"SELECT {function}()".encode())
            _wait(connection, "SELECT pg_get_wal_replay_pause_state() = %s", state)

    def catch_up(self) -> None:
        """Wait until all that the primary has written by now is here."""
        with psycopg.connect(self._primary.url("postgres"), autocommit=True) as connection:
            (end,) = connection.execute("SELECT pg_current_wal_lsn()::text").fetchone() or ("",)
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            _wait(connection, "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", end)


def _wait(connection: psycopg.Connection, query: LiteralString, value: str) -> None:
    """Wait until a query answers yes."""
    wait_until(
        lambda: connection.execute(query, [value]).fetchone() == (True,),
        seconds=WAIT_SECONDS_MAX,
        told=lambda: query,
    )
