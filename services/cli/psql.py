"""`lockstep psql`: opens a database of a service."""

import os
import signal
import subprocess
from collections.abc import Mapping
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
    system = System()
    target = ClientTarget.of(system.database_url(service))
    program = find("psql")
    argv = [program, target.conninfo, *context.args]
    if not system.needs_postgres([service]):
        os.execve(program, argv, target.environment)  # noqa: S606 - psql takes over this terminal
    with system.running_postgres([service]):
        code = _run(argv, target.environment)
    raise typer.Exit(code)


def _run(argv: list[str], environment: Mapping[str, str]) -> int:
    """Run psql, and return its code as a shell would.

    The terminal sends its signals to psql, too, which knows what to do. Others are passed on.
    """
    for number in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, lambda _number, _frame: None)
    with subprocess.Popen(argv, env=environment) as process:
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda number, _frame: process.send_signal(number))
        code = process.wait()
    return code if code >= 0 else 128 - code
