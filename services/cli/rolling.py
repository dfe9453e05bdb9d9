"""Restarting the processes of services one after the other, so that no request fails.

A process may stop when another one of its service can take all its calls: it is SERVING, and
every caller has found it. Callers watch the health of each process that they have connected to,
so two processes of a service that all have found have as many watchers.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Sequence
from typing import Final

from services.cli.errors import CommandError
from services.cli.health import read_management
from services.cli.program import Runner
from services.cli.supervisor import Supervisor, why_not_ready

FOUND_SECONDS_MAX: Final = 60.0
POLL_SECONDS: Final = 0.2
# A caller that has begun to watch learns the answer a moment later.
LOOKS: Final = 4
# For callers that nobody can count: those of a gateway, or without metrics.
UNCOUNTED_SECONDS: Final = 7.5
METRICS_SECONDS: Final = 5.0
CALLERS: Final = re.compile(r"^lockstep_callers(?:\{.*\})? ([\d.e+]+)", re.MULTILINE)


async def roll(
    supervisor: Supervisor, runners: Sequence[Runner], *, may_interrupt: bool
) -> AsyncIterator[str]:
    """Restart processes one after the other, and yield the name of each.

    Args:
        supervisor: Runs the processes.
        runners: The processes.
        may_interrupt: Whether those that cannot be spared are restarted, too.

    Raises:
        CommandError: One cannot be spared, or does not work again; the text says why.
    """
    others = {each: _others(supervisor, each) for each in runners}
    lonely = dict.fromkeys(each.program.service for each in runners if not others[each])
    if lonely and not may_interrupt:
        raise CommandError(
            f"{', '.join(lonely)} would be interrupted, having one process only: "
            "set LOCKSTEP_WORKERS=2 and start anew, or say --interrupt"
        )
    for runner in runners:
        lacks = await _wait_spared(runner, others[runner])
        if lacks and not may_interrupt:
            raise CommandError(
                f"{runner.program.name} was not restarted, as no other process can take its "
                f"calls: {'; '.join(lacks)}. Put that right, or say --interrupt"
            )
        await supervisor.restart(runner)
        yield runner.program.name


def _others(supervisor: Supervisor, runner: Runner) -> list[Runner]:
    service = runner.program.service
    return [
        each
        for each in supervisor.runners
        if each.program.service == service and each is not runner
    ]


async def _wait_spared(runner: Runner, others: Sequence[Runner]) -> list[str]:
    """Wait until another process can take all calls of this one, several looks in a row.

    Returns nothing then; after a while, what each of them lacks.
    """
    end = time.monotonic() + FOUND_SECONDS_MAX
    good = 0
    while good < LOOKS:
        lacks = await _lacking(runner, others)
        if lacks and time.monotonic() > end:
            return lacks
        good = 0 if lacks else good + 1
        await asyncio.sleep(POLL_SECONDS)
    return []


async def _lacking(runner: Runner, others: Sequence[Runner]) -> list[str]:
    """Say what each other process lacks; nothing if one of them lacks nothing."""
    wanted = await _callers(runner)
    lacks = await asyncio.gather(*(_lack(other, wanted) for other in others))
    return [each for each in lacks if each] if all(lacks) else []


async def _lack(other: Runner, wanted: int | None) -> str:
    program = other.program
    if not await program.probe():
        return f"{program.name} is not SERVING{await why_not_ready(program)}"
    found = await _callers(other)
    if wanted is not None and found is not None:
        return "" if found >= wanted else f"{program.name} has {found} of {wanted} callers"
    is_known = time.monotonic() - other.begin > UNCOUNTED_SECONDS
    return "" if is_known else f"{program.name} has just started"


async def _callers(runner: Runner) -> int | None:
    """Return how many callers watch a process; None: it does not tell."""
    text = await read_management(runner.program.management, "/metrics", METRICS_SECONDS)
    found = CALLERS.search(text)
    return None if found is None else int(float(found[1]))
