"""Runs a service as its own process that is killed, or stops, at a named edge.

    python -m tests.faulty auth auth.T2.commit.acked KILL

Without an edge it just runs. It prints its port when it listens.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import services
from services.common.settings import CommonSettings, as_environment, load
from services.kernel.logging import configure
from services.kernel.signals import until_stopped
from tests.environment import without_settings

# Long, because a soak keeps every core busy while a process starts.
START_SECONDS = 120.0


class Strike:
    """Sends this process a signal at an edge, once."""

    def __init__(self, edge: str, number: signal.Signals) -> None:
        self.edge, self.number = edge, number

    async def __call__(self, edge: str) -> None:
        if edge == self.edge:
            self.edge = ""
            os.kill(os.getpid(), self.number)


async def serve(service: str, observer: Callable[[str], object] | None, listen_on: str) -> None:
    main = importlib.import_module(f"services.{service}.__main__")
    settings = load(getattr(main, f"{service.capitalize()}Settings"))
    configure(service=service, form="console")
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, _tell_tasks)
    async with main.running(settings, listen_on=listen_on, observer=observer) as running:
        print(f"PORT {running.port}", flush=True)
        await until_stopped()


def _tell_tasks() -> None:
    print(f"TASKS {len(asyncio.all_tasks())}", flush=True)


class Process:
    """A service in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.process, self.port = process, port
        self.told: asyncio.Queue[int] = asyncio.Queue()

    async def tasks(self) -> int:
        """Return the number of the process's tasks."""
        self.signal(signal.SIGUSR1)
        async with asyncio.timeout(20):
            return await self.told.get()

    async def gone(self, *, seconds: float = 20.0) -> None:
        """Wait until the process has ended."""
        async with asyncio.timeout(seconds):
            await self.process.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send the process a signal."""
        self.process.send_signal(number)


@contextlib.asynccontextmanager
async def started(
    service: str,
    settings: CommonSettings,
    log: Path,
    *,
    edge: str = "",
    strike: str = "KILL",
    listen_on: str = "127.0.0.1:0",
) -> AsyncIterator[Process]:
    """Start a service in a process of its own, and kill it at the end.

    Args:
        service: auth, profile or commerce.
        settings: The service's settings.
        log: The file for its output.
        edge: The edge at which it is struck; empty: at none.
        strike: KILL or STOP.
        listen_on: The host and port to listen on.
    """
    environment = without_settings() | as_environment(settings)
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "tests.faulty", service, edge, strike, listen_on),
            cwd=Path(services.__file__).parent.parent,
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=output,
        )
    try:
        running = Process(process, await _port(process, log))
        drain = asyncio.create_task(_drain(running, log))
        try:
            yield running
        finally:
            drain.cancel()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _port(process: asyncio.subprocess.Process, log: Path) -> int:
    assert process.stdout is not None
    async with asyncio.timeout(START_SECONDS):
        while line := await process.stdout.readline():
            if line.startswith(b"PORT "):
                return int(line.split()[1])
            with log.open("ab") as output:
                output.write(line)
    raise RuntimeError(f"the service did not start; see {log}")


async def _drain(running: Process, log: Path) -> None:
    stdout = running.process.stdout
    assert stdout is not None
    with log.open("ab") as output:
        while line := await stdout.readline():
            if line.startswith(b"TASKS "):
                running.told.put_nowait(int(line.split()[1]))
            output.write(line)


if __name__ == "__main__":
    name, at, with_what, where = sys.argv[1:5]
    struck = Strike(at, signal.Signals[f"SIG{with_what}"]) if at else None
    asyncio.run(serve(name, struck, where))
