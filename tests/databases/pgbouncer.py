"""A PgBouncer in transaction mode, where the machine has one (Debian's is 1.18)."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
from pathlib import Path
from typing import Final

import psycopg

from tests.ports import free_port
from tests.waiting import wait_until

MISSING: Final = "PgBouncer is not on this machine (Debian: apt-get install pgbouncer)"
FILE: Final = """
[databases]
* = host=127.0.0.1 port={server_port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {folder}/users.txt
admin_users = admin
pool_mode = transaction
default_pool_size = 4
logfile = {folder}/pgbouncer.log
{further}
"""


def program() -> str | None:
    """Return where PgBouncer is; Debian puts it where ordinary users do not look."""
    return shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")


class PgBouncer:
    """Lends a server's sessions for a transaction each.

    Args:
        folder: A folder of its own.
        server_port: The server's port on the loopback.
        users: The roles that may connect.
        further: More lines of its configuration.
    """

    def __init__(
        self, folder: Path, server_port: int, users: tuple[str, ...], *, further: str = ""
    ) -> None:
        self.port = free_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir()
        settings = {"port": self.port, "server_port": server_port, "folder": folder}
        (folder / "pgbouncer.ini").write_text(FILE.format(**settings, further=further))
        names = (*users, "admin")
        (folder / "users.txt").write_text("".join(f'"{name}" ""\n' for name in names))

    def start(self) -> None:
        """Start, and wait until it answers."""
        found = program()
        assert found is not None
        user = None
        if os.getuid() == 0:  # it refuses to run as root
            user = pwd.getpwnam("nobody")
            for path in (self._folder, *self._folder.iterdir()):
                os.chown(path, user.pw_uid, user.pw_gid)
        told = self._folder.with_suffix(".stderr")
        with told.open("wb") as stderr:
            self._process = subprocess.Popen(
                [found, str(self._folder / "pgbouncer.ini")],
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                user=None if user is None else user.pw_uid,
                group=None if user is None else user.pw_gid,
                extra_groups=None if user is None else [],
            )
        wait_until(self._answers, told=told.read_text)

    def kill(self) -> None:
        """Kill it: every session that it has lent is lost."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def url(self, database: str, user: str) -> str:
        """Name a database behind it."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def _answers(self) -> bool:
        url = f"postgresql://admin@127.0.0.1:{self.port}/pgbouncer"
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(url, connect_timeout=2, autocommit=True).close()
            return True
        return False
