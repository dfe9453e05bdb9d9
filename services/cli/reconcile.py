"""`lockstep reconcile`: compares the databases, and mends some differences."""

import asyncio
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.tables import JsonOption, json_object

if TYPE_CHECKING:
    from services.cli.clocks import Difference
    from services.cli.comparison import Finding
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
    min_age: Annotated[
        float,
        typer.Option(
            metavar="MINUTES", min=0, help="leave alone what is younger: a saga may be at work"
        ),
    ] = 60,
    as_json: JsonOption = False,
) -> None:
    """Compare Auth, Profile and Commerce, also their clocks, and print their differences."""
    from services.cli.errors import CommandError
    from services.cli.reconciler import TooManyError
    from services.cli.system import DATABASES, System, ensure_reachable

    age = timedelta(minutes=min_age)
    system = System()
    with system.running_postgres():
        if every is not None:
            asyncio.run(
                _again_and_again(
                    system, mend=mend, min_age=age, pause_seconds=every * 60, as_json=as_json
                )
            )
            return
        for service in DATABASES:
            ensure_reachable(system, service)
        try:
            agrees = asyncio.run(look(system, mend=mend, min_age=age, as_json=as_json))
        except TooManyError as error:
            raise CommandError(str(error)) from None
    if not agrees:
        raise typer.Exit(1)


async def _again_and_again(
    system: "System", *, mend: bool, min_age: timedelta, pause_seconds: float, as_json: bool
) -> None:
    """Compare until SIGTERM or SIGINT; print a failure, such as a database that is down."""
    import psycopg

    from services.cli.failovers import Watch
    from services.cli.findings import telling
    from services.cli.reconciler import TooManyError
    from services.cli.system import DATABASES
    from services.kernel.signals import until_stopped

    watch = Watch([system.database_url(service) for service in DATABASES])
    await asyncio.to_thread(watch.has_moved)  # know where each is before the first look
    stopped = asyncio.create_task(until_stopped())
    age, mends = min_age, mend
    with telling(system.settings["auth"]) as findings:
        while not stopped.done():
            try:
                findings.note(await compared(system, mend=mends, min_age=age, as_json=as_json))
            except (TooManyError, psycopg.OperationalError) as error:
                print(f"lockstep: {str(error).strip()}", file=sys.stderr, flush=True)
            age, mends = min_age, mend
            if await watch.until_failover(stopped, pause_seconds):
                _remark(
                    "a server has failed over: all ages are compared, and nothing is mended",
                    as_json=as_json,
                )
                age, mends = timedelta(0), False


async def look(system: "System", *, mend: bool, min_age: timedelta, as_json: bool = False) -> bool:
    """Compare once, and mend if `mend`; return whether the databases agree now.

    Raises:
        TooManyError: There are too many differences; nothing was mended.
    """
    return not await compared(system, mend=mend, min_age=min_age, as_json=as_json)


async def compared(
    system: "System", *, mend: bool, min_age: timedelta, as_json: bool
) -> Counter[str]:
    """Compare once, and mend if `mend`; return how many differences of each kind are left.

    Clocks that are far apart are printed; only an administrator can set a clock.

    Raises:
        TooManyError: There are too many differences; nothing was mended.
    """
    from services.cli import clocks
    from services.cli.comparison import differences
    from services.cli.system import DATABASES

    urls = {service: system.database_url(service) for service in DATABASES}
    apart = await asyncio.to_thread(clocks.differences, urls)
    for clock in apart:
        _print("found", clock, as_json=as_json)
    found = differences(urls, min_age=min_age)
    left, mendable = await asyncio.to_thread(_tell, found, mend=mend, as_json=as_json)
    left[clocks.CLOCKS] += len(apart)
    mended: list[Finding] = []
    try:
        if mendable:
            mended = await _mend(system, mendable)
    finally:
        for each in mendable:
            _print("mended" if each in mended else "found", each, as_json=as_json)
    left.update(each.kind.value for each in mendable if each not in mended)
    if not (left.total() or mendable):
        _remark("everything agrees", as_json=as_json)
    return +left


def _tell(
    findings: Iterable["Finding"], *, mend: bool, as_json: bool
) -> tuple[Counter[str], list["Finding"]]:
    """Print what is not to be mended, as it is found; return its kinds, and the rest.

    However much disagrees, no more is kept than what tells that it is too much.
    """
    from services.cli.reconciler import MENDABLE, MENDED_AT_ONCE

    told = Counter[str]()
    mendable: list[Finding] = []
    for each in findings:
        if mend and each.kind in MENDABLE and len(mendable) <= MENDED_AT_ONCE:
            mendable.append(each)
        else:
            told[each.kind.value] += 1
            _print("found", each, as_json=as_json)
    return told, mendable


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


def _print(state: str, found: "Finding | Difference", *, as_json: bool) -> None:
    record = {"state": state, **found.as_record()}
    print(json_object(record) if as_json else f"{state}: {found}", flush=True)


def _remark(text: str, *, as_json: bool) -> None:
    """Tell people something; a program that reads objects must not find it among them."""
    print(text, file=sys.stderr if as_json else sys.stdout, flush=True)
