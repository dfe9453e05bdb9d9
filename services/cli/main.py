"""The command `lockstep`. Each command imports its needs when it runs, so that help is fast."""

import sys
from typing import Annotated

import typer

from services.cli import (
    admin,
    audit,
    backup,
    certs,
    health,
    keys,
    mail,
    migrate,
    outbox,
    psql,
    reconcile,
    restart,
    restore,
    sagas,
    seed,
    settings,
    status,
    up,
)
from services.kernel.output import take_all

app = typer.Typer(
    name="lockstep",
    help="Run and look after Lockstep on one machine.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _show_version(asked: bool) -> None:  # noqa: FBT001 - typer's way
    if asked:
        from importlib.metadata import version

        typer.echo(f"lockstep {version('lockstep')}")
        raise typer.Exit


@app.callback()
def _root(
    *,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Run and look after Lockstep on one machine."""


app.command()(up.up)
app.command()(status.status)
app.command()(restart.restart)
app.command()(restart.stop)
app.command()(migrate.migrate)
app.add_typer(keys.app, name="keys")
app.add_typer(certs.app, name="certs")
app.add_typer(admin.app, name="admin")
app.command()(audit.audit)
app.command()(settings.settings)
app.command(context_settings=psql.PASS_ON)(psql.psql)
app.add_typer(sagas.app, name="sagas")
app.add_typer(mail.app, name="mail")
app.add_typer(outbox.app, name="outbox")
app.command()(health.health)
app.command()(seed.seed)
app.command()(reconcile.reconcile)
app.command()(backup.backup)
app.command()(restore.restore)


def main() -> None:
    """Run a command; print an expected failure without a traceback, and exit with code 1."""
    take_all(sys.stdout, sys.stderr)
    try:
        app()
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except Exception as error:
        from services.cli.failures import told_of

        told = told_of(error)
        if told is None:
            raise
        for line in str(told).splitlines():
            print(f"lockstep: {line}", file=sys.stderr)
        sys.exit(1)
