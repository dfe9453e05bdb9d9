"""`lockstep backup`: all databases at one moment, and the keys if they are asked for."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from services.cli.databases import Connection
    from services.cli.manifest import Dump
    from services.cli.system import System

# Profile comes last. So a registration or an order that is under way may leave a profile or a
# debit alone, which `reconcile` mends, and hardly an account or an order without it.
ORDER: Final = ("auth", "commerce", "profile")
TABLE: Final = "dumping contents of table"
# The snapshots stay open for as long as the dumps take.
UNLIMITED: Final = (
    "statement_timeout",
    "idle_in_transaction_session_timeout",
    "transaction_timeout",
)
SNAPSHOT: Final = """
SELECT pg_export_snapshot(), (SELECT version_num FROM alembic_version),
       to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
       (SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace)
"""


def backup(
    folder: Annotated[Path, typer.Argument(help="a folder that is empty or does not exist")],
    *,
    keys: Annotated[
        bool,
        typer.Option("--keys", help="also copy the keys: keep such a backup as safe as them"),
    ] = False,
) -> None:
    """Back up all databases while everything runs."""
    from services.cli.system import DATABASES, System, ensure_reachable
    from services.common.files import ensure_writable, make_folder

    system = System()
    _refuse_full(folder)
    make_folder(folder)
    ensure_writable(folder)
    with system.running_postgres():
        for service in DATABASES:
            ensure_reachable(system, service)
        _whole_or_nothing(folder, lambda: _back_up(system, folder, with_keys=keys))
    typer.echo(f"{folder}: backed up {', '.join(ORDER)}{' and the keys' if keys else ''}")


def _refuse_full(folder: Path) -> None:
    from services.cli.errors import CommandError

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CommandError(f"{folder} must be an empty folder, or not be there yet")


def _whole_or_nothing(folder: Path, work: Callable[[], None]) -> None:
    """Do the work; leave nothing behind when it fails, such as on a full disk."""
    import shutil

    try:
        work()
    except BaseException:
        for path in folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        raise


def _back_up(system: "System", folder: Path, *, with_keys: bool) -> None:
    from datetime import UTC, datetime
    from importlib.metadata import version

    from services.cli import clients, manifest
    from services.cli.tables import rfc3339

    begin = rfc3339(datetime.now(UTC))
    pg_dump = clients.find("pg_dump")
    dumps = _dump_all(system, folder, pg_dump)
    if with_keys:
        copy_keys(system.settings["auth"].keys, folder / "keys")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    manifest.Manifest(
        format=manifest.FORMAT,
        version=version("lockstep"),
        postgres=clients.version_of(pg_dump),
        create_time=begin,
        dumps=dumps,
        sha256={str(path.relative_to(folder)): manifest.sha256(path) for path in files},
        has_keys=with_keys,
    ).write(folder)


def _dump_all(system: "System", folder: Path, pg_dump: str) -> dict[str, "Dump"]:
    from contextlib import ExitStack

    from rich.progress import Progress

    from services.cli import clients
    from services.cli.databases import connect

    with ExitStack() as stack:
        connections = {
            service: stack.enter_context(connect(system.migrate_url(service), autocommit=False))
            for service in ORDER
        }
        for connection in connections.values():
            _begin(connection)
        # All snapshots are taken now, within milliseconds; the dumps may take hours.
        found = {service: _snapshot(service, each) for service, each in connections.items()}
        progress = stack.enter_context(Progress(console=clients.progress_console()))
        for service, (snapshot, dump) in found.items():
            task = progress.add_task(service, total=dump.tables)
            target = folder / dump.file
            for _ in _run_dump(pg_dump, system.migrate_url(service), snapshot, target):
                progress.advance(task)
            progress.update(task, completed=dump.tables)
    return {service: dump for service, (_, dump) in found.items()}


def _begin(connection: "Connection") -> None:
    from psycopg import IsolationLevel, sql

    connection.isolation_level = IsolationLevel.REPEATABLE_READ
    connection.read_only = True
    for name in UNLIMITED:
        connection.execute(sql.SQL("SET {} = 0").format(sql.Identifier(name)))
    connection.commit()


def _snapshot(service: str, connection: "Connection") -> tuple[str, "Dump"]:
    from services.cli.manifest import Dump

    row = connection.execute(SNAPSHOT).fetchone()
    assert row is not None
    snapshot, revision, moment, tables = row
    return snapshot, Dump(
        file=f"{service}.dump", revision=revision, snapshot_time=moment, tables=tables
    )


def _run_dump(pg_dump: str, url: str, snapshot: str, target: Path) -> Iterator[None]:
    """Dump a database as it was in a snapshot; yield at each table.

    Raises:
        CommandError: pg_dump has failed.
        FileProblem: The disk is full.
    """
    import os

    from services.cli import clients
    from services.cli.errors import CommandError
    from services.common.files import ensure_writable, problem_of

    options = ["--format=custom", "--no-owner", "--no-privileges", "--no-password", "--verbose"]
    argv = [pg_dump, *options, f"--snapshot={snapshot}"]
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            yield from clients.run(argv, url, marker=TABLE, output=file)
            os.fsync(file.fileno())
    except CommandError as error:
        ensure_writable(target.parent)  # a full disk has a better explanation
        raise CommandError(f"{target} is not whole: {error}") from None
    except OSError as error:
        raise problem_of(error, target, remedy="make its folder") from None


def copy_keys(keys: Path, target: Path) -> None:
    """Copy keys as they are, readable by this user alone.

    Raises:
        FileProblem: A key cannot be read or written.
    """
    import shutil

    from services.common.files import FileProblem, locked

    ignored = shutil.ignore_patterns(".lock")
    try:
        with locked(keys):
            shutil.copytree(keys, target, ignore=ignored, dirs_exist_ok=True)
    except shutil.Error as error:
        path, copy, reason = error.args[0][0]
        raise FileProblem(f"{path} cannot be copied to {copy}: {reason}") from None
    for path in (target, *target.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)
