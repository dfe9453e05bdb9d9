"""A PostgreSQL that also listens on a port of TCP, and that a test may kill."""

from __future__ import annotations

import asyncio
import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import psycopg

from services.cli.postgres import SUPERUSER, THROWAWAY, EmbeddedPostgres
from services.cli.processes import is_alive
from tests.ports import free_port
from tests.waiting import wait_until


class TcpPostgres(EmbeddedPostgres):
    """A throwaway server on the loopback, whose commits survive that it is killed."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        listening = {"listen_addresses": "127.0.0.1", "port": str(self.port)}
        super().__init__(folder, options=THROWAWAY | listening | {"synchronous_commit": "on"})
        # The server ends with the thread that has started it.
        self._thread = ThreadPoolExecutor(max_workers=1)

    @property
    def socket_path(self) -> Path:
        """The Unix socket."""
        return self.socket_folder / f".s.PGSQL.{self.port}"

    def url(self, database: str) -> str:
        """Name a database for a client that uses TCP."""
        return f"postgresql://{SUPERUSER}@127.0.0.1:{self.port}/{database}"

    def socket_url(self, database: str) -> str:
        """Name a database for a client that uses the Unix socket."""
        return socket_url(self.socket_path, database)

    def is_ready(self) -> bool:
        """Tell whether the server takes connections."""
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(self.url("postgres"), connect_timeout=2).close()
            return True
        return False

    def refuse_writes(self) -> None:
        """Take no more writes, in any session, as a primary does that has been demoted."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET default_transaction_read_only = on")
            connection.execute("SELECT pg_reload_conf()")
        wait_until(self._is_read_only, told=lambda: "the server did not take its new setting")

    def _is_read_only(self) -> bool:
        with psycopg.connect(self.url("postgres")) as connection:
            return connection.execute("SHOW default_transaction_read_only").fetchone() == ("on",)

    async def kill_and_start(self) -> None:
        """Kill the server and all its children, as if its machine died, and start it again."""

        def kill_and_start() -> None:
            self._kill()
            self.start()

        await asyncio.get_running_loop().run_in_executor(self._thread, kill_and_start)

    def destroy(self) -> None:
        """Stop the server and delete everything that belongs to it."""
        super().destroy()
        self._thread.shutdown()

    def _kill(self) -> None:
        assert self._process is not None
        server = psutil.Process(self._process.pid)
        killed = [server, *server.children(recursive=True)]
        for process in killed:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait()
        while any(map(is_alive, killed)):  # init may leave them as zombies for a while
            time.sleep(0.002)


def socket_url(path: Path, database: str) -> str:
    """Name a database at the Unix socket of a server or a proxy."""
    port = path.name.rpartition(".")[2]
    return f"postgresql://{SUPERUSER}@/{database}?host={path.parent}&port={port}"
