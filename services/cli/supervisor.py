"""The supervisor starts programs in stages, waits until all work, and stops them in reverse."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Collection
from pathlib import Path
from typing import Final, Self, TypeVar

from services.cli.errors import CommandError
from services.cli.health import READY, readiness
from services.cli.lines import Wrap, as_it_is
from services.cli.program import Echo, Program, Runner

READY_POLL_SECONDS: Final = 0.2
READY_SECONDS_MAX: Final = 60.0
CRASHES_AT_START_MAX: Final = 3

T = TypeVar("T")


class Stopped(Exception):
    """Ctrl-C or SIGTERM came before all programs were ready."""


class Supervisor:
    """Runs the programs of a `lockstep up`; as a context manager, it stops them at its end."""

    def __init__(
        self, *, home: Path, echo: Echo, grace_seconds: float, wrap: Wrap = as_it_is
    ) -> None:
        self._home: Final = home
        self._echo: Final = echo
        self._wrap: Final = wrap
        self._grace_seconds: Final = grace_seconds
        self._stages: Final[list[list[Runner]]] = []
        self._stop: Final = asyncio.Event()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._on_signal)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop all programs, the last stage first."""
        self._stop.set()
        for stage in reversed(self._stages):
            await asyncio.gather(*(runner.stop(self._grace_seconds) for runner in stage))

    @property
    def runners(self) -> list[Runner]:
        """The runners of all programs, in the order of their start."""
        return [runner for stage in self._stages for runner in stage]

    def request_stop(self) -> None:
        """Stop everything in order, as at a first signal."""
        self._stop.set()

    async def restart(self, *runners: Runner) -> None:
        """Stop programs in order, start them again, and wait until they work.

        Others that worked before must work again, too: a gateway needs a moment to connect anew.

        Raises:
            CommandError: One does not work again; the text names it.
            Stopped: Everything is stopping.
        """

        async def work() -> None:
            others = await _working(set(self.runners) - set(runners))
            await asyncio.gather(*(runner.restart(self._grace_seconds) for runner in runners))
            await self._wait_all(list(runners))
            await asyncio.gather(*map(self._wait_again, others))

        await self.unless_stopped(work())

    def start(self, *programs: Program) -> None:
        """Start a stage of programs, which may start at the same time."""
        runners = [
            Runner(program, home=self._home, echo=self._echo, wrap=self._wrap)
            for program in programs
        ]
        self._stages.append(runners)
        for runner in runners:
            runner.start()

    async def wait_ready(self) -> None:
        """Wait until every program works.

        Raises:
            CommandError: A program does not start; the text names it.
        """
        await self.unless_stopped(self._wait_all(self.runners))

    async def unless_stopped(self, work: Awaitable[T]) -> T:
        """Await `work`.

        Raises:
            Stopped: A signal came first.
        """
        task, stop = asyncio.ensure_future(work), asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait([task, stop], return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise Stopped
            return task.result()
        finally:
            for pending in (task, stop):
                pending.cancel()

    async def wait_stopped(self) -> None:
        """Wait for Ctrl-C or SIGTERM, or raise the error of a runner, such as a full disk."""
        stop = asyncio.create_task(self._stop.wait())
        running = {runner.task for runner in self.runners if runner.task}
        done, _ = await asyncio.wait({stop, *running}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        for task in done:
            task.result()

    async def _wait_all(self, runners: list[Runner]) -> None:
        failed: list[Exception] = []
        try:
            async with asyncio.TaskGroup() as group:
                for runner in runners:
                    group.create_task(self._wait_one(runner))
        except* CommandError as failures:
            failed.extend(failures.exceptions)
        if failed:  # raised inside, Python before 3.11.4 would wrap it in a group again
            raise failed[0]

    async def _wait_one(self, runner: Runner) -> None:
        program, begin = runner.program, runner.begin
        crashes_max = runner.crashes + CRASHES_AT_START_MAX
        if runner.is_ready:
            return
        log = self._log_of(program)
        while not await program.probe():
            if runner.task is not None and runner.task.done():
                runner.task.result()  # raises what has ended the runner, such as a full disk
            if runner.crashes >= crashes_max:
                last = f" ({runner.last_line})" if runner.last_line else ""
                raise CommandError(f"{program.name} does not start{last}: see {log}")
            if time.monotonic() - begin > READY_SECONDS_MAX:
                reason = await why_not_ready(program)
                raise CommandError(
                    f"{program.name} was not ready after {READY_SECONDS_MAX:.0f} s{reason}: "
                    f"see {log}"
                )
            await asyncio.sleep(READY_POLL_SECONDS)
        runner.is_ready = True
        runner.say(f"ready after {time.monotonic() - begin:.1f} s")

    async def _wait_again(self, runner: Runner) -> None:
        program, end = runner.program, time.monotonic() + READY_SECONDS_MAX
        while not await program.probe():
            if time.monotonic() > end:
                raise CommandError(
                    f"{program.name} was not ready again after {READY_SECONDS_MAX:.0f} s"
                    f"{await why_not_ready(program)}: see {self._log_of(program)}"
                )
            await asyncio.sleep(READY_POLL_SECONDS)

    def _log_of(self, program: Program) -> Path:
        return self._home / "logs" / f"{program.name}.log"

    def _on_signal(self) -> None:
        """Stop in order at the first signal, at once at the second."""
        if self._stop.is_set():
            for stage in reversed(self._stages):
                for runner in stage:
                    runner.kill()
        self._stop.set()


async def _working(runners: Collection[Runner]) -> list[Runner]:
    """Return the runners whose programs work."""
    answers = await asyncio.gather(*(runner.program.probe() for runner in runners))
    return [runner for runner, works in zip(runners, answers, strict=True) if works]


async def why_not_ready(program: Program) -> str:
    """Return the reason that a process itself gives, in brackets; nothing if it gives none."""
    reason = await readiness(program.management)
    return f" ({reason})" if reason and reason != READY else ""
