"""`lockstep status`: how everything is; exit code 1 when something is wrong."""

import asyncio
from typing import TYPE_CHECKING, Any, Final

import typer

from services.cli import tables
from services.cli.tables import JsonOption, Value

if TYPE_CHECKING:
    from services.cli.checks import Check
    from services.cli.system import System

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
SERVING: Final = "SERVING"
READY_SECONDS: Final = 2.0

Record = dict[str, Value]


def status(
    *,
    as_json: JsonOption = False,
) -> None:
    """Show processes, schemas, sagas, mail, certificates and free disk, and what is wrong."""
    from services.cli.checks import check_all
    from services.cli.system import System

    system = System()
    processes, endpoints = asyncio.run(_processes(system))
    checks = asyncio.run(check_all(system))
    if as_json:
        _print_json(processes, checks)
    else:
        _print_tables(processes, checks, endpoints)
    wrong = _troubles(processes, checks)
    for line in wrong:
        typer.echo(f"lockstep: {line}", err=True)
    if wrong:
        raise typer.Exit(1)


async def _processes(system: "System") -> tuple[list[Record], list[tuple[str, str]]]:
    """Ask the running `lockstep up`; without one, ask the addresses of the settings."""
    from services.cli.control import NotRunning, ask

    try:
        told = list(ask(system.home, {"do": "status"}, seconds=10.0))
    except NotRunning:
        return await asyncio.gather(*_by_address()), []
    endpoints = told.pop()["endpoints"]
    return await asyncio.gather(*map(_of_program, told)), endpoints


def _by_address() -> list[Any]:
    from services.cli.health import endpoints_of
    from services.cli.system import SETTINGS, is_installed

    return [
        _asked({"process": name, "address": endpoint}, endpoint, "")
        for name in filter(is_installed, SETTINGS)
        for endpoint in endpoints_of(name)
    ]


async def _of_program(told: dict[str, Any]) -> Record:
    import time

    begin, memory = told.get("start_time"), told.get("memory")
    record: Record = {
        "process": told["process"],
        "pid": told["pid"],
        "address": told["endpoint"] or None,
        "uptime": None if begin is None else round(max(0.0, time.time() - begin)),
        "restarts": told["restarts"],
        "memory": memory,
    }
    if told["pid"] is None:
        return record | {"state": "not running"}
    if not told["endpoint"]:
        return record | {"state": "running" if told["is_ready"] else "starting"}
    return await _asked(record, told["endpoint"], told["management"])


async def _asked(record: Record, endpoint: str, management: str) -> Record:
    from services.cli.health import NAMED, is_serving, readiness
    from services.cli.operator import operator_tls

    name, _, _ = str(record["process"]).partition("-")
    tls = operator_tls() if name in NAMED else None
    if await is_serving(endpoint, tls=tls, name=name):
        return record | {"state": SERVING}
    reason = await readiness(management, READY_SECONDS) if management else ""
    return record | {"state": f"NOT_SERVING ({reason})" if reason else "NOT_SERVING"}


def _print_json(processes: list[Record], checks: "list[Check]") -> None:
    for record in processes:
        whole = {name: record.get(name) for name in PROCESSES}
        tables.show_one({"kind": "process", **whole}, as_json=True)
    for check in checks:
        facts = {"kind": check.kind, "subject": check.subject, **check.facts}
        tables.show_one({**facts, "trouble": check.trouble}, as_json=True)


def _print_tables(
    processes: list[Record], checks: "list[Check]", endpoints: list[tuple[str, str]]
) -> None:
    rows = [
        {name: record.get(name) for name in PROCESSES}
        | {"uptime": _span(record.get("uptime")), "memory": _size(record.get("memory"))}
        for record in processes
    ]
    tables.show(rows, PROCESSES, empty="nothing runs")
    found: list[Record] = [
        {
            "kind": check.kind,
            "subject": check.subject,
            "facts": ", ".join(_fact(name, value) for name, value in check.facts.items()),
            "trouble": check.trouble,
        }
        for check in checks
    ]
    tables.show(found, CHECKS, empty="nothing was checked")
    if endpoints:
        named: list[Record] = [{"part": part, "endpoint": place} for part, place in endpoints]
        tables.show(named, ADDRESSES, empty="")


def _troubles(processes: list[Record], checks: "list[Check]") -> list[str]:
    good = (SERVING, "running")
    return [
        *(
            f"{each['process']} is {each['state']}"
            for each in processes
            if each["state"] not in good
        ),
        *(f"{each.kind} of {each.subject}: {each.trouble}" for each in checks if each.trouble),
    ]


def _fact(name: str, value: Value) -> str:
    shown = _size(value) if name.endswith("_bytes") else value
    return f"{name.removesuffix('_bytes').replace('_', ' ')} {'none' if shown is None else shown}"


def _span(seconds: Value) -> str | None:
    """Return a time that a process has run, such as 3 h 12 min."""
    if not isinstance(seconds, int):
        return None
    minutes, hours = seconds // 60, seconds // 3600
    if hours >= 48:  # noqa: PLR2004 - two days
        return f"{hours // 24} days"
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min" if minutes else f"{seconds} s"


def _size(size: Value) -> str | None:
    if not isinstance(size, int):
        return None
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"
