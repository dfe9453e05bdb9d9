"""How everything is: its processes, and what is wrong. `status` and the local page tell it."""

import asyncio
import time
from typing import Any, Final

from services.cli.checks import Check
from services.cli.control import NotRunning, ask
from services.cli.health import NAMED, endpoints_of, is_serving, readiness
from services.cli.operator import operator_tls
from services.cli.system import SETTINGS, System, is_installed
from services.cli.tables import Value

SERVING: Final = "SERVING"
GOOD: Final = (SERVING, "running")
READY_SECONDS: Final = 2.0
ANSWER_SECONDS: Final = 10.0

Standing = dict[str, Value]
"""What is known of a process."""


async def processes(system: System) -> tuple[list[Standing], list[tuple[str, str]]]:
    """Ask the running `lockstep up`; without one, ask the addresses of the settings.

    Returns each process, and the addresses that were shown at the start.
    """
    try:
        told = await asyncio.to_thread(_told, system)
    except NotRunning:
        return await asyncio.gather(*_by_address()), []
    endpoints = [(part, place) for part, place in told.pop()["endpoints"]]
    return await asyncio.gather(*map(_of_program, told)), endpoints


def troubles(found: list[Standing], checks: list[Check]) -> list[str]:
    """Return a line for each thing that is wrong."""
    return [
        *(f"{each['process']} is {each['state']}" for each in found if each["state"] not in GOOD),
        *(f"{each.kind} of {each.subject}: {each.trouble}" for each in checks if each.trouble),
    ]


def _told(system: System) -> list[dict[str, Any]]:
    return list(ask(system.home, {"do": "status"}, seconds=ANSWER_SECONDS))


def _by_address() -> list[Any]:
    unknown = dict.fromkeys(("pid", "management", "uptime", "restarts", "memory"))
    return [
        _asked(unknown | {"process": name, "address": endpoint}, endpoint, "")
        for name in filter(is_installed, SETTINGS)
        for endpoint in endpoints_of(name)
    ]


async def _of_program(told: dict[str, Any]) -> Standing:
    begin = told.get("start_time")
    record: Standing = {
        "process": told["process"],
        "pid": told["pid"],
        "address": told["endpoint"] or None,
        "management": told["management"] or None,
        "uptime": None if begin is None else round(max(0.0, time.time() - begin)),
        "restarts": told["restarts"],
        "memory": told.get("memory"),
    }
    if told["pid"] is None:
        return record | {"state": "not running"}
    if not told["endpoint"]:
        return record | {"state": "running" if told["is_ready"] else "starting"}
    asked = await _asked(record, told["endpoint"], told["management"])
    if asked["state"] == "NOT_SERVING" and not told["is_ready"]:
        return asked | {"state": "starting"}
    return asked


async def _asked(record: Standing, endpoint: str, management: str) -> Standing:
    name, _, _ = str(record["process"]).partition("-")
    tls = operator_tls() if name in NAMED else None
    if await is_serving(endpoint, tls=tls, name=name):
        return record | {"state": SERVING}
    reason = await readiness(management, READY_SECONDS)
    return record | {"state": f"NOT_SERVING ({reason})" if reason else "NOT_SERVING"}
