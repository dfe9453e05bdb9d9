"""The Lockstep that is measured: `lockstep up` on spare ports, its processes on chosen cores."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

import services
from services.cli import parent_death
from services.cli.postgres import EmbeddedPostgres
from services.common.settings import embedded_url
from tests.environment import variables, without_settings

ROOT = Path(services.__file__).parent.parent
UP = [sys.executable, "-m", "services.cli", "up"]
STARTED = "Lockstep is running"
START_SECONDS_MAX = 120.0
STOP_SECONDS_MAX = 30.0
SHARING_SECONDS = 0.05
PORTS = ("gateway", "auth", "profile", "commerce", "mail")
WORKER_PORT_STEP = 100
BACKEND = " [local] "  # is in the title of a process that serves a connection

CORES = sorted(os.sched_getaffinity(0))
SERVICE_CORE = CORES[:1]
OTHER_CORES = CORES[1:] or CORES


class StackError(Exception):
    """The measured Lockstep does not run."""


@dataclass(slots=True)
class Stack:
    """A Lockstep in a folder of its own, which is started again for other settings.

    Attributes:
        home: The data folder.
        ports: The port of each service.
        starts: The seconds of each start; the first one has empty folders.
    """

    home: Path
    ports: dict[str, int] = field(default_factory=lambda: spare_ports(PORTS))
    starts: list[float] = field(default_factory=list)
    _process: asyncio.subprocess.Process | None = None
    _settings: Mapping[str, str] = field(default_factory=dict)

    def endpoint(self, service: str) -> str:
        """Return host:port of a service."""
        return f"127.0.0.1:{self.ports[service]}"

    def database_url(self, service: str) -> str:
        """Return the URL of a service's database."""
        return embedded_url(self.home / "postgres", f"{service}db")

    def environment(self, **settings: str) -> dict[str, str]:
        """Return the environment of the processes."""
        own = {f"{name}_port": str(port) for name, port in self.ports.items()}
        own |= {f"{name}_metrics_port": "0" for name in self.ports if name != "mail"}
        own |= {"page_port": "0", "home": str(self.home), "address_limits": "off"}
        return without_settings() | variables(**own | settings)

    async def run_with(self, **settings: str) -> None:
        """Run with these settings; start again if it runs with others."""
        if self._process is None or self._settings != settings:
            await self.stop()
            await self._start(settings)
        self.unpin()

    async def stop(self) -> None:
        """Stop everything."""
        if self._process is None:
            return
        process, self._process = self._process, None
        with contextlib.suppress(ProcessLookupError):  # it has ended by itself
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_SECONDS_MAX)
        except TimeoutError:
            process.kill()

    def pids(self, *services: str) -> list[int]:
        """Return the processes of these services."""
        modules = {f"services.{name}" for name in services}
        return [each.pid for each in self._children() if modules & set(each.cmdline())]

    def all_pids(self) -> list[int]:
        """Return every process of Lockstep, without PostgreSQL's."""
        return [each.pid for each in self._children() if each.name() != "postgres"]

    def postgres_pids(self, *databases: str) -> list[int]:
        """Return the processes of PostgreSQL: its own, and the backends of these databases."""
        found = []
        for each in self._children():
            with contextlib.suppress(psutil.NoSuchProcess):
                title = " ".join(each.cmdline()) if each.name() == "postgres" else ""
                is_backend = BACKEND in title
                if title and (not is_backend or any(f" {name} " in title for name in databases)):
                    found.append(each.pid)
        return found

    def pin(self, *services: str) -> None:
        """Reserve the first core for these services; the rest runs on the other cores."""
        chosen = set(self.pids(*services))
        for each in self._children():
            set_cores(each.pid, SERVICE_CORE if each.pid in chosen else OTHER_CORES)

    def unpin(self) -> None:
        """Let everything run everywhere."""
        for each in self._children():
            set_cores(each.pid, CORES)

    def _children(self) -> list[psutil.Process]:
        if self._process is None:
            return []
        parent = psutil.Process(self._process.pid)
        return [parent, *parent.children(recursive=True)]

    async def _start(self, settings: Mapping[str, str]) -> None:
        output = self.home.with_suffix(".log")
        begin = time.perf_counter()
        with output.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *parent_death.command(UP, death_signal=signal.SIGTERM),
                cwd=ROOT,
                env=self.environment(**settings),
                stdout=log,
                stderr=log,
            )
        self._settings = dict(settings)
        while STARTED not in output.read_text(errors="replace"):
            late = time.perf_counter() - begin > START_SECONDS_MAX
            if late or self._process.returncode is not None:
                raise StackError(output.read_text(errors="replace")[-2000:])
            await asyncio.sleep(0.02)
        self.starts.append(time.perf_counter() - begin)


@asynccontextmanager
async def stack() -> AsyncIterator[Stack]:
    """Make a Lockstep in a temporary folder, and remove every trace of it at the end."""
    with tempfile.TemporaryDirectory(prefix="lockstep-bench-") as folder:
        made = Stack(Path(folder) / "home")
        try:
            yield made
        finally:
            await made.stop()
            EmbeddedPostgres(made.home / "postgres").destroy()


@dataclass(frozen=True, slots=True)
class Helper:
    """A process that serves on a port."""

    port: int
    pid: int

    @property
    def endpoint(self) -> str:
        """Return the host and port."""
        return f"127.0.0.1:{self.port}"


@asynccontextmanager
async def helper(
    *arguments: str, environment: Mapping[str, str] | None = None, cores: Sequence[int] = CORES
) -> AsyncIterator[Helper]:
    """Run a Python module that prints its port, on some cores.

    Raises:
        StackError: The module ended without a port.
    """
    process = await asyncio.create_subprocess_exec(
        *parent_death.command([sys.executable, "-m", *arguments], death_signal=signal.SIGKILL),
        cwd=ROOT,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
    )
    drain: asyncio.Task[None] | None = None
    try:
        assert process.stdout is not None
        async with asyncio.timeout(START_SECONDS_MAX):
            while not (line := await process.stdout.readline()).startswith(b"PORT "):
                if not line:
                    raise StackError(f"{arguments[0]} ended")
        drain = asyncio.create_task(_drain(process.stdout))
        set_cores(process.pid, cores)
        yield Helper(int(line.split()[1]), process.pid)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        if drain is not None:
            await drain


async def _drain(stream: asyncio.StreamReader) -> None:
    while await stream.read(65536):
        pass


def spare_ports(names: Sequence[str]) -> dict[str, int]:
    """Find free ports, each with room for the port of a second worker."""
    with contextlib.ExitStack() as opened:
        return {name: _spare_port(opened) for name in names}


def _spare_port(opened: contextlib.ExitStack) -> int:
    while True:
        first = opened.enter_context(socket.create_server(("127.0.0.1", 0)))
        port = int(first.getsockname()[1])
        with contextlib.suppress(OSError, OverflowError):
            opened.enter_context(socket.create_server(("127.0.0.1", port + WORKER_PORT_STEP)))
            return port


def set_cores(pid: int, cores: Sequence[int]) -> None:
    """Let every thread of a process run only on these cores; new threads inherit that."""
    for thread in _threads(pid):
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(thread, cores)


@asynccontextmanager
async def sharing(pids: Sequence[int], share: float) -> AsyncIterator[None]:
    """Let processes run for a share of the time only, one after the other.

    It sends signals, because only the owner of the machine may use cgroups.
    """

    async def hold(pid: int, offset: float) -> None:
        await asyncio.sleep(offset)
        while True:
            os.kill(pid, signal.SIGSTOP)
            await asyncio.sleep(SHARING_SECONDS * (1 - share))
            os.kill(pid, signal.SIGCONT)
            await asyncio.sleep(SHARING_SECONDS * share)

    offsets = [SHARING_SECONDS * index / len(pids) for index in range(len(pids))]
    tasks = [asyncio.create_task(hold(*each)) for each in zip(pids, offsets, strict=True)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def _threads(pid: int) -> Iterator[int]:
    with contextlib.suppress(psutil.NoSuchProcess, FileNotFoundError):
        yield from [int(each.name) for each in Path(f"/proc/{pid}/task").iterdir()]


def processor_seconds(pids: Sequence[int]) -> float:
    """Return the processor time of processes so far, with all their threads."""
    times = [psutil.Process(pid).cpu_times() for pid in pids]
    return sum(each.user + each.system for each in times)


def processor_seconds_each(pids: Sequence[int]) -> dict[int, float]:
    """Return the processor time of each process so far, without those that have ended."""
    found = {}
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            found[pid] = processor_seconds([pid])
    return found


def spent(before: Mapping[int, float], after: Mapping[int, float]) -> float:
    """Return the processor time between two moments; processes may come and go meanwhile."""
    return sum(seconds - before.get(pid, 0.0) for pid, seconds in after.items())


def proportional_bytes(pids: Sequence[int]) -> int:
    """Return the memory of processes; what several share is counted once (PSS)."""
    rolled_up = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in pids]
    return sum(1024 * int(text.split("\nPss:")[1].split()[0]) for text in rolled_up)


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process."""
    return int(psutil.Process(pid).memory_info().rss)
