"""`lockstep reconcile`: compares the databases, and mends some differences."""

import asyncio
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from services.cli.clocks import Difference
    from services.cli.reconciler import Finding
    from services.cli.system import System


def reconcile(
    *,
    mend: Annotated[
        bool,
        typer.Option("--mend", help="mend the differences that the rules allow, a few at once"),
    ] = False,
    every: Annotated[
        float | None,
        typer.Option(
            metavar="MINUTES", min=0.01, help="compare again after so many minutes, until stopped"
        ),
    ] = None,
) -> None:
    """Compare Auth, Profile and Commerce, also their clocks, and print their differences."""
    from services.cli.errors import CommandError
    from services.cli.reconciler import TooManyError
    from services.cli.system import System

    system = System()
    with system.running_postgres():
        if every is not None:
            asyncio.run(_again_and_again(system, mend=mend, pause_seconds=every * 60))
            return
        try:
            agrees = asyncio.run(_look(system, mend=mend))
        except TooManyError as error:
            raise CommandError(str(error)) from None
    if not agrees:
        raise typer.Exit(1)


async def _again_and_again(system: "System", *, mend: bool, pause_seconds: float) -> None:
    """Compare until SIGTERM or SIGINT; print a failure, such as a database that is down."""
    import psycopg

    from services.cli.reconciler import TooManyError
    from services.kernel.signals import until_stopped

    stopped = asyncio.create_task(until_stopped())
    while not stopped.done():
        try:
            await _look(system, mend=mend)
        except (TooManyError, psycopg.OperationalError) as error:
            print(f"lockstep: {str(error).strip()}", file=sys.stderr, flush=True)
        await asyncio.wait([stopped], timeout=pause_seconds)


async def _look(system: "System", *, mend: bool) -> bool:
    """Compare once, and mend if `mend`; return whether the databases agree now.

    Clocks that are far apart are printed; only an administrator can set a clock.

    Raises:
        TooManyError: There are too many differences; nothing was mended.
    """
    from services.cli.clocks import differences
    from services.cli.reconciler import compare
    from services.cli.system import DATABASES

    urls = {service: system.database_url(service) for service in DATABASES}
    clocks = await asyncio.to_thread(differences, urls)
    findings = await asyncio.to_thread(compare, urls)
    mended: list[Finding] = []
    try:
        if mend:
            mended = await _mend(system, findings)
    finally:
        _print(clocks, findings, mended)
    return not clocks and len(mended) == len(findings)


async def _mend(system: "System", findings: Sequence["Finding"]) -> list["Finding"]:
    from services.cli.databases import session_name
    from services.cli.reconciler import Mender
    from services.common.service import opened, session_rules
    from services.kernel.db.database import Database

    rules = session_rules(system.settings["auth"], session_name())
    auth, profile = (
        Database(system.database_url(name), name=name, connections=1, rules=rules)
        for name in ("auth", "profile")
    )
    async with opened(auth, profile):
        return await Mender(auth, profile).mend(findings)


def _print(
    clocks: Sequence["Difference"], findings: Sequence["Finding"], mended: Sequence["Finding"]
) -> None:
    for clock in clocks:
        print(f"found: {clock}", flush=True)
    for finding in findings:
        state = "mended" if finding in mended else "found"
        print(f"{state}: {finding.kind} {finding.id}", flush=True)
    if not clocks and not findings:
        print("everything agrees", flush=True)
