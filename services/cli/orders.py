"""What a running `lockstep up` does when a command asks for it: status, restart, stop."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final

import psutil

from services.cli.control import Handler, Message
from services.cli.errors import CommandError
from services.cli.program import Runner
from services.cli.rolling import roll
from services.cli.supervisor import Stopped, Supervisor


class Orders:
    """Carries out what commands ask of a supervisor.

    Args:
        supervisor: Runs the programs.
        endpoints: The addresses that were shown at the start.
    """

    def __init__(self, supervisor: Supervisor, endpoints: Sequence[tuple[str, str]]) -> None:
        self._supervisor: Final = supervisor
        self._endpoints: Final = endpoints
        self._restarting: Final = asyncio.Lock()
        self.has_started = False

    def handlers(self) -> Mapping[str, Handler]:
        """Return what can be asked for, by its name in a request."""
        return {"status": self.status, "restart": self.restart, "stop": self.stop}

    async def status(self, _request: Message) -> AsyncIterator[Message]:
        """Tell each process, then the addresses."""
        for runner in self._supervisor.runners:
            yield await asyncio.to_thread(_told, runner)
        yield {"endpoints": list(self._endpoints)}

    async def stop(self, _request: Message) -> AsyncIterator[Message]:
        """Stop everything in order; the answer is the process to wait for."""
        self._supervisor.request_stop()
        yield {"pid": os.getpid()}

    async def restart(self, request: Message) -> AsyncIterator[Message]:
        """Restart services: all their processes at once, or one after the other."""
        if not self.has_started or self._restarting.locked():
            doing = "restarting" if self.has_started else "starting"
            raise CommandError(f"`lockstep up` is still {doing}: wait until it is ready")
        async with self._restarting:
            chosen = self._chosen(request["services"])
            try:
                if not request["rolling"]:
                    await self._supervisor.restart(*chosen)
                    yield {"processes": [each.program.name for each in chosen]}
                    return
                rolling = roll(self._supervisor, chosen, may_interrupt=request["may_interrupt"])
                async for name in rolling:
                    yield {"processes": [name]}
            except Stopped:
                raise CommandError("everything is stopping") from None

    def _chosen(self, services: Sequence[str]) -> list[Runner]:
        known = [each for each in self._supervisor.runners if each.program.service]
        names = list(dict.fromkeys(each.program.service for each in known))
        wrong = [name for name in services if name not in names]
        if wrong:
            raise CommandError(f"there is no service {', '.join(wrong)}: use {', '.join(names)}")
        return [each for each in known if each.program.service in (services or names)]


def _told(runner: Runner) -> Message:
    program = runner.program
    told: Message = {
        "process": program.name,
        "service": program.service,
        "pid": runner.pid,
        "endpoint": program.endpoint,
        "management": program.management,
        "restarts": runner.crashes,
        "is_ready": runner.is_ready,
    }
    try:
        process = psutil.Process(runner.pid) if runner.pid is not None else None
        if process is not None:
            told |= {"start_time": process.create_time(), "memory": process.memory_info().rss}
    except psutil.Error:
        pass  # it has just ended
    return told
