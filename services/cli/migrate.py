"""`lockstep migrate`: makes the databases and migrates them."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pathlib import Path

    from services.cli.system import System


def migrate(
    services: Annotated[
        list[str] | None, typer.Argument(help="auth, profile, commerce; all when none is given")
    ] = None,
    to: Annotated[str, typer.Option(help="revision to go forward to")] = "head",
    down_to: Annotated[
        str | None, typer.Option(help="revision to go back to; base is before the first")
    ] = None,
    *,
    status: Annotated[bool, typer.Option("--status", help="only show the revisions")] = False,
) -> None:
    """Make the databases and bring their tables up to date.

    Services never migrate by themselves: replicas would race.
    """
    from services.cli.errors import CommandError
    from services.cli.system import DATABASES, System, migrations_of

    wrong = sorted(set(services or ()) - DATABASES.keys())
    if wrong:
        raise CommandError(
            f"there is no database for {', '.join(wrong)}: use {', '.join(DATABASES)}"
        )
    system = System()
    with system.running_postgres():
        system.make_databases(services or DATABASES)
        for service in services or DATABASES:
            history = migrations_of(service)
            if history is not None:
                if not status:
                    _move(system, service, history, to, down_to)
                    _prepare_role(system, service)
                _show(system, service, history)


def _move(system: "System", service: str, history: "Path", to: str, down_to: str | None) -> None:
    from alembic.util import CommandError as AlembicError
    from sqlalchemy.exc import DBAPIError

    from services.cli.databases import in_a_line, setting_of
    from services.cli.errors import CommandError
    from services.kernel.db import migrations

    url = system.migrate_url(service)
    try:
        if down_to is None:
            migrations.upgrade(url, history, to)
        else:
            migrations.downgrade(url, history, down_to)
    except DBAPIError as error:
        reason = in_a_line(error.orig or error)
        raise CommandError(
            f"cannot migrate {service}: {reason} (see {setting_of(service)})"
        ) from error
    except AlembicError as error:
        raise CommandError(f"cannot migrate {service}: {error}") from error


def _prepare_role(system: "System", service: str) -> None:
    """Give the role of a service what it needs in its migrated database."""
    import psycopg

    from services.cli import roles
    from services.cli.databases import in_a_line
    from services.cli.errors import CommandError
    from services.cli.system import SESSION_SETTINGS

    urls = system.migrate_url(service), system.database_url(service)
    try:
        roles.grant(*urls)
        if system.settings[service].database_pooler:
            roles.limit(*urls, SESSION_SETTINGS.get(service, {}))
    except psycopg.Error as error:
        raise CommandError(f"cannot prepare the role of {service}: {in_a_line(error)}") from error


def _show(system: "System", service: str, history: "Path") -> None:
    from services.kernel.db import migrations

    found = migrations.current(system.migrate_url(service)) or "base"
    newest = migrations.head(history) or "base"
    note = "" if found == newest else f", the newest is {newest}"
    typer.echo(f"{service}: at {found}{note}")
