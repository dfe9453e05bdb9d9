"""Tasks that run beside the requests until they are stopped."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, Final

import structlog
from opentelemetry.metrics import CallbackOptions, Meter, Observation

from services.kernel.telemetry.metrics import NO_METER, create_counter

BEAT_SECONDS: Final = 30.0
LOOK_SECONDS: Final = 1.0
END_SECONDS: Final = 5.0
LOOP: Final = "lockstep.loop.name"
TASK: Final = "lockstep.task.name"

log = structlog.get_logger("lockstep.loops")


class BackgroundTask:
    """A task that its owner starts and stops.

    Args:
        run: The work, which goes on until it is cancelled.
        name: The name of the task.
    """

    def __init__(self, run: Callable[[], Coroutine[Any, Any, None]], *, name: str) -> None:
        self._run_task = run
        self._name = name
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run_task(), name=self._name)

    async def stop(self) -> None:
        """Cancel the task, and wait for its end, but not for ever."""
        await end(self._task)


class Pulse:
    """The beat of a loop: it beats when its work on the database is committed.

    The watchdog counts the silence by its own looks. So the time in which the whole process
    stood still does not count.

    Attributes:
        name: The name of the loop.
        seconds: The silence after which the loop is started anew.
        silence: The seconds since the last beat.
        restarts: How often the loop was started anew since then.
    """

    def __init__(self, name: str, *, seconds: float = BEAT_SECONDS) -> None:
        self.name: Final = name
        self.seconds: Final = seconds
        self.silence = 0.0
        self.restarts = 0

    def beat(self) -> None:
        """Note that the loop has worked."""
        self.silence = 0.0
        self.restarts = 0


class PeriodicTask(BackgroundTask):
    """A task that works now and then. The service is of use while it fails.

    Attributes:
        name: The name of the task.
        success_at: When it last succeeded, or was made.
    """

    def __init__(self, run: Callable[[], Coroutine[Any, Any, None]], *, name: str) -> None:
        super().__init__(run, name=name)
        self.name: Final = name
        self.success_at = time.monotonic()

    def succeeded(self) -> None:
        """Note that the work is done for now."""
        self.success_at = time.monotonic()


def observe_successes(meter: Meter, tasks: Sequence[PeriodicTask]) -> None:
    """Create the metric that tells for how long tasks have not succeeded."""

    def read(_options: CallbackOptions) -> Iterable[Observation]:
        for task in tasks:
            yield Observation(time.monotonic() - task.success_at, {TASK: task.name})

    meter.create_observable_gauge(
        "lockstep.task.last_success.age",
        callbacks=[read],
        unit="s",
        description="The time since a task that works now and then last succeeded",
    )


class Loop(ABC):
    """A task whose work must go on, or the service is of no use."""

    pulse: Pulse

    @abstractmethod
    async def restart(self) -> None:
        """Give up what hangs, with its connections, and start anew."""


class Watchdog(BackgroundTask):
    """Starts loops anew that stand still, and tells of those that do so all the same.

    Args:
        loops: The loops.
        meter: Creates the metric.
    """

    def __init__(self, loops: Sequence[Loop], meter: Meter = NO_METER) -> None:
        super().__init__(self._run, name="watchdog")
        self._loops = loops
        self._restarts = create_counter(
            meter,
            "lockstep.loop.restarts",
            unit="{restart}",
            description="Times that a loop stood still and was started anew",
            attributes=[{LOOP: each.pulse.name} for each in loops],
        )

    @property
    def trouble(self) -> str | None:
        """Say which loop has not worked for twice its time; None: all work."""
        for pulse in (each.pulse for each in self._loops):
            if pulse.silence > 2 * pulse.seconds:
                return f"the loop {pulse.name} has not worked for {pulse.silence:.0f} s"
        return None

    async def look(self) -> None:
        """Look at each loop once; the next look comes a second later."""
        for loop in self._loops:
            pulse = loop.pulse
            pulse.silence += LOOK_SECONDS
            if pulse.silence > pulse.seconds * (pulse.restarts + 1):
                pulse.restarts += 1
                self._restarts.add(1, {LOOP: pulse.name})
                log.error("loop restarted", loop=pulse.name, silence=round(pulse.silence))
                await loop.restart()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.look()
            except Exception:
                log.exception("cannot restart a loop")


async def end(task: asyncio.Task[None] | None) -> None:
    """Cancel a task, and wait for its end, but not for ever."""
    if task is not None:
        task.cancel()
        await asyncio.wait([task], timeout=END_SECONDS)
