"""`lockstep restore`: puts a backup back, then compares the databases."""

import asyncio
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from services.cli.databases import Connection
    from services.cli.manifest import Manifest
    from services.cli.system import System

TABLE: Final = "processing data for table"
IS_EMPTY: Final = """
SELECT NOT EXISTS (
    SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND c.relkind IN ('r', 'p')
)
"""
EMPTY: Final = """
DO $$
DECLARE name text;
BEGIN
  FOR name IN SELECT nspname FROM pg_namespace
               WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' LOOP
    EXECUTE format('DROP SCHEMA %I CASCADE', name);
  END LOOP;
  CREATE SCHEMA public;
  GRANT USAGE ON SCHEMA public TO PUBLIC;
END $$
"""


def restore(
    folder: Annotated[Path, typer.Argument(help="folder of a backup")],
    *,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="replace databases that hold data: what they hold is lost"),
    ] = False,
    keys: Annotated[bool, typer.Option("--keys", help="also put the keys back")] = False,
) -> None:
    """Put a backup back into empty databases, migrate them, and compare them."""
    from services.cli import manifest, migrate
    from services.cli.backup import copy_keys
    from services.cli.system import DATABASES, System

    system = System()
    found = manifest.read(folder)
    _refuse_unknown(found, folder)
    if keys:
        _refuse_keys(system.settings["auth"].keys, found, folder)
    with system.running_postgres():
        system.make_databases()
        _refuse_data(system, may_replace=replace)
        _restore_all(system, folder, found, replace=replace)
        migrate.bring(system, list(DATABASES))
        if keys:
            copy_keys(folder / "keys", system.settings["auth"].keys)
        typer.echo(f"{folder} of {found.create_time} was restored; now the databases are compared")
        _compare(system)


def _refuse_unknown(found: "Manifest", folder: Path) -> None:
    """Refuse a backup that this code cannot use, before anything is changed."""
    from services.cli.errors import CommandError
    from services.cli.system import DATABASES
    from services.common.histories import migrations_of, newest_revision

    missing = DATABASES.keys() - found.dumps.keys()
    if missing:
        raise CommandError(f"{folder} has no dump of {', '.join(sorted(missing))}")
    for service in DATABASES:
        history = migrations_of(service)
        assert history is not None
        if found.dumps[service].revision > newest_revision(history):
            raise CommandError(
                f"{folder} was made by Lockstep {found.version}, whose {service} is at revision "
                f"{found.dumps[service].revision}: install that version, or a later one"
            )


def _refuse_keys(target: Path, found: "Manifest", folder: Path) -> None:
    from services.cli.errors import CommandError

    if not found.has_keys:
        raise CommandError(f"{folder} holds no keys: it was made without --keys")
    if target.exists() and any(target.iterdir()):
        raise CommandError(f"{target} holds keys already: move them away, or leave out --keys")


def _refuse_data(system: "System", *, may_replace: bool) -> None:
    """Refuse databases that hold data, without the word, and those that somebody uses."""
    from services.cli.databases import connect
    from services.cli.errors import CommandError
    from services.cli.system import DATABASES
    from services.kernel.db import migrations

    problems = []
    for service in DATABASES:
        with connect(system.migrate_url(service)) as connection:
            row = connection.execute(IS_EMPTY.encode()).fetchone()
            others = migrations.others(partial(_look, connection))
        if row != (True,) and not may_replace:
            problems.append(
                f"the database of {service} holds data: say --replace to lose them, "
                "or name empty databases"
            )
        if others:
            problems.append(
                f"the database of {service} is in use by {', '.join(others)}: stop them first"
            )
    if problems:
        raise CommandError("\n".join(problems))


def _look(connection: "Connection") -> "Iterator[str]":
    from services.kernel.db.migrations import OTHERS

    return (str(name) for (name,) in connection.execute(OTHERS.encode()))


def _restore_all(system: "System", folder: Path, found: "Manifest", *, replace: bool) -> None:
    from rich.progress import Progress

    from services.cli import clients
    from services.cli.databases import connect
    from services.cli.system import DATABASES

    program = clients.find("pg_restore")
    options = ["--single-transaction", "--no-owner", "--no-privileges", "--no-password"]
    with Progress(console=clients.progress_console()) as progress:
        for service in DATABASES:
            dump, url = found.dumps[service], system.migrate_url(service)
            task = progress.add_task(service, total=dump.tables)
            if replace:
                with connect(url) as connection:
                    connection.execute(EMPTY.encode())
            argv = [program, *options, "--verbose"]
            for _ in clients.run(argv, url, marker=TABLE, last=str(folder / dump.file)):
                progress.advance(task)
            progress.update(task, completed=dump.tables)


def _compare(system: "System") -> None:
    """Compare the databases; what is unfinished ends by itself when the services run."""
    from services.cli import reconcile

    if not asyncio.run(reconcile.look(system, mend=False, min_age=timedelta(0))):
        typer.echo(
            "start the services, which end what was under way; what is left then, "
            "`lockstep reconcile --mend --min-age 0` mends or names"
        )
