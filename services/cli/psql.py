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
    from services.cli.clients import ClientTarget, find
    from services.cli.errors import CommandError
    from services.cli.system import DATABASES, System

    if service not in DATABASES:
        raise CommandError(f"there is no database for {service}: use {', '.join(DATABASES)}")
    target = ClientTarget.of(System().database_url(service))
    program = find("psql")
    argv = [program, target.conninfo, *context.args]
    os.execve(program, argv, target.environment)  # noqa: S606 - psql takes over this terminal
