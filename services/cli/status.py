"""`lockstep status`: how everything is; exit code 1 when something is wrong."""

import asyncio
from typing import TYPE_CHECKING, Final

import typer

from services.cli import tables
from services.cli.tables import JsonOption, Record, Value

if TYPE_CHECKING:
    from services.cli.checks import Check
    from services.cli.standing import Standing

PROCESSES: Final = {
    "process": "Process",
    "pid": "PID",
    "address": "Address",
    "state": "State",
    "uptime": "Uptime",
    "restarts": "Restarts",
    "memory": "Memory",
}
CHECKS: Final = {"kind": "Check", "subject": "Of", "facts": "Found", "trouble": "Wrong"}
ADDRESSES: Final = {"part": "Part", "endpoint": "Endpoint"}


def status(
    *,
    as_json: JsonOption = False,
) -> None:
    """Show processes, schemas, sagas, mail, certificates and free disk, and what is wrong."""
    from services.cli.checks import check_all
    from services.cli.standing import processes, troubles
    from services.cli.system import System

    system = System()
    found, endpoints = asyncio.run(processes(system))
    checks = asyncio.run(check_all(system))
    if as_json:
        _print_json(found, checks)
    else:
        _print_tables(found, checks, endpoints)
    wrong = troubles(found, checks)
    for line in wrong:
        typer.echo(f"lockstep: {line}", err=True)
    if wrong:
        raise typer.Exit(1)


def _print_json(processes: "list[Standing]", checks: "list[Check]") -> None:
    for record in processes:
        whole = {name: record.get(name) for name in PROCESSES}
        tables.show_one({"kind": "process", **whole}, as_json=True)
    for check in checks:
        facts = {"kind": check.kind, "subject": check.subject, **check.facts}
        tables.show_one({**facts, "trouble": check.trouble}, as_json=True)


def _print_tables(
    processes: "list[Standing]", checks: "list[Check]", endpoints: list[tuple[str, str]]
) -> None:
    rows = [
        {name: record.get(name) for name in PROCESSES}
        | {"uptime": span(record.get("uptime")), "memory": size_text(record.get("memory"))}
        for record in processes
    ]
    tables.show(rows, PROCESSES, empty="nothing runs")
    rows_of_checks: list[Record] = [
        {
            "kind": check.kind,
            "subject": check.subject,
            "facts": ", ".join(fact(name, value) for name, value in check.facts.items()),
            "trouble": check.trouble,
        }
        for check in checks
    ]
    tables.show(rows_of_checks, CHECKS, empty="nothing was checked")
    if endpoints:
        named: list[Record] = [{"part": part, "endpoint": place} for part, place in endpoints]
        tables.show(named, ADDRESSES, empty="")


def fact(name: str, value: Value) -> str:
    """Return a fact of a check, such as `due 3`."""
    shown = size_text(value) if name.endswith("_bytes") else value
    return f"{name.removesuffix('_bytes').replace('_', ' ')} {'none' if shown is None else shown}"


def span(seconds: Value) -> str | None:
    """Return a time that a process has run, such as 3 h 12 min."""
    if not isinstance(seconds, int):
        return None
    minutes, hours = seconds // 60, seconds // 3600
    if hours >= 48:  # noqa: PLR2004 - two days
        return f"{hours // 24} days"
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min" if minutes else f"{seconds} s"


def size_text(size: Value) -> str | None:
    """Return an amount of memory or disk, such as 12 MiB."""
    if not isinstance(size, int):
        return None
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"
