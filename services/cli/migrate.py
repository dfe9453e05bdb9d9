"""`lockstep migrate`: makes the databases and migrates them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.tables import JsonOption, json_object

if TYPE_CHECKING:
    from services.cli.system import System
    from services.kernel.db.migrations import Plan


def migrate(
    services: Annotated[
        list[str] | None, typer.Argument(help="auth, profile, commerce; all when none is given")
    ] = None,
    to: Annotated[str, typer.Option(help="revision to go forward to")] = "head",
    down_to: Annotated[
        str | None, typer.Option(help="revision to go back to; base is before the first")
    ] = None,
    destroy: Annotated[
        list[str] | None,
        typer.Option(metavar="SERVICE", help="lose data of this service, if a step does"),
    ] = None,
    *,
    status: Annotated[bool, typer.Option("--status", help="only show the revisions")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make the databases and bring their tables up to date.

    Services never migrate by themselves: replicas would race.
    """
    from services.cli.system import DATABASES, System

    _refuse_unknown([*(services or ()), *(destroy or ())])
    if to != "head" and down_to is not None:
        raise typer.BadParameter("must not be given together with --to", param_hint="--down-to")
    wanted = services or list(DATABASES)
    system = System()
    with system.running_postgres():
        if status:
            for service in wanted:
                _show(system, service, as_json=as_json)
        else:
            system.make_databases(wanted)
            bring(system, wanted, to=to, down_to=down_to, destroy=destroy or (), as_json=as_json)


def bring(
    system: "System",
    services: Sequence[str],
    *,
    to: str = "head",
    down_to: str | None = None,
    destroy: Sequence[str] = (),
    as_json: bool = False,
) -> None:
    """Bring databases to a revision; each has its way before the first is changed."""
    plans = {service: _plan(system, service, to, down_to) for service in services}
    _refuse_losses(plans, destroy)
    for service in services:
        _carry_out(service, plans[service], may_lose=service in destroy)
        _prepare_role(system, service)
        _show(system, service, as_json=as_json)


def _refuse_unknown(services: Sequence[str]) -> None:
    from services.cli.errors import CommandError
    from services.cli.system import DATABASES

    wrong = sorted(set(services) - DATABASES.keys())
    if wrong:
        raise CommandError(
            f"there is no database for {', '.join(wrong)}: use {', '.join(DATABASES)}"
        )


def _plan(system: "System", service: str, to: str, down_to: str | None) -> "Plan":
    """Find the way of one service; nothing is done before each has one."""
    from services.common.histories import migrations_of
    from services.kernel.db import migrations

    history = migrations_of(service)
    assert history is not None
    with _told(service):
        return migrations.plan(system.migrate_url(service), history, to=to, down_to=down_to)


def _refuse_losses(plans: dict[str, "Plan"], destroy: Sequence[str]) -> None:
    """Print what is going to be lost, and go on with the explicit word only."""
    from services.cli.errors import CommandError
    from services.kernel.db import migrations

    unsaid = []
    for service, plan in plans.items():
        with _told(service):
            lost = migrations.count_losses(plan) if plan.loses else {}
        if lost:
            typer.echo(
                f"{service}: going to {plan.target} {migrations.losses_text(lost)}", err=True
            )
        if lost and service not in destroy:
            unsaid.append(service)
    if unsaid:
        words = " ".join(f"--destroy {service}" for service in unsaid)
        raise CommandError(f"nothing was done: take a backup, then say {words}")


def _carry_out(service: str, plan: "Plan", *, may_lose: bool) -> None:
    from services.kernel.db import migrations

    with _told(service):
        migrations.carry_out(plan, may_lose=may_lose)


@contextmanager
def _told(service: str) -> Iterator[None]:
    """Tell a failure in one line."""
    import psycopg
    from alembic.util import CommandError as AlembicError
    from sqlalchemy.exc import DBAPIError

    from services.cli.databases import in_a_line, setting_of
    from services.cli.errors import CommandError
    from services.kernel.db.migrations import DataLoss, NoWay

    try:
        yield
    except (DBAPIError, psycopg.Error) as error:
        reason = in_a_line(getattr(error, "orig", None) or error)
        raise CommandError(
            f"cannot migrate {service}: {reason} (see {setting_of(service)})"
        ) from error
    except (AlembicError, DataLoss, NoWay) as error:
        raise CommandError(f"cannot migrate {service}: {in_a_line(error)}") from error


def _prepare_role(system: "System", service: str) -> None:
    """Give the role of a service what it needs in its migrated database."""
    from services.cli import roles
    from services.cli.system import SESSION_SETTINGS

    urls = system.migrate_url(service), system.database_url(service)
    with _told(service):
        roles.grant(*urls)
        if system.settings[service].database_pooler:
            roles.limit(*urls, SESSION_SETTINGS.get(service, {}))


def _show(system: "System", service: str, *, as_json: bool) -> None:
    from services.common.histories import migrations_of
    from services.kernel.db import migrations

    history = migrations_of(service)
    assert history is not None
    with _told(service):
        found = migrations.current(system.migrate_url(service)) or "base"
    newest = migrations.head(history) or "base"
    if as_json:
        typer.echo(json_object({"service": service, "revision": found, "newest": newest}))
        return
    note = "" if found == newest else f", the newest is {newest}"
    if found != "base" and found > newest:
        note = f", and this code knows {newest}"
    typer.echo(f"{service}: at {found}{note}")
