"""Recovery: the sagas that nobody drives are taken up, those that fail beside the others."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Coroutine
from typing import Any, Final

import structlog

from services.kernel.errors import DatabaseUnavailable
from services.kernel.sagas.lease_store import SagaQueue, queue_of
from services.kernel.sagas.leases import Lease, Leases, named
from services.kernel.sagas.metrics import SagaMeter
from services.kernel.sagas.model import Saga
from services.kernel.sagas.store import SagaRow, saga_of
from services.kernel.tasks import Loop, Pulse, end

POLL_SECONDS: Final = 1.0
STOP_SECONDS: Final = 5.0
SLOTS: Final = {SagaQueue.FRESH: 16, SagaQueue.TRIED: 6, SagaQueue.PARKED: 2}
"""How many sagas of each queue are driven at once.

Sagas that fail may take long, each time. So each queue has slots of its own.
"""

log = structlog.get_logger("lockstep.saga")


class Recovery(Loop):
    """Takes up sagas that are due, at once and then after each poll.

    Args:
        leases: The leases of this process.
        kinds: The names and versions of the kinds that are known here.
        meter: The metrics of sagas.
        drive: Begins to drive a saga under its lease.
        run: Begins any other task.
        sleep: Waits; a test's own makes hours cost nothing.
        poll_seconds: The pause between two looks, while none is worth more.
    """

    def __init__(
        self,
        leases: Leases,
        *,
        kinds: Collection[tuple[str, int]],
        meter: SagaMeter,
        drive: Callable[[Saga, Lease], asyncio.Task[None]],
        run: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
        sleep: Callable[[float], Awaitable[None]],
        poll_seconds: float,
    ) -> None:
        self._leases = leases
        self._kinds = kinds
        self._meter = meter
        self._drive = drive
        self._start_task = run
        self._sleep = sleep
        self._poll_seconds = poll_seconds
        self._driven: dict[asyncio.Task[None], SagaQueue] = {}
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.pulse = Pulse("saga-recovery")

    @property
    def is_running(self) -> bool:
        """Whether sagas that are due are taken up."""
        return self._task is not None

    def start(self) -> None:
        """Begin to take up sagas."""
        self._task = asyncio.create_task(self._run(), name="saga-recovery")

    async def restart(self) -> None:
        """Look anew, when a look has not ended. The sagas that are driven go on."""
        await end(self._task)
        await self._leases.abandon_claim()
        if self._task is not None and not self._stopping.is_set():
            self.start()

    async def stop(self) -> None:
        """Take up nothing more, and give back at once what was taken up."""
        if self._task is None:
            return
        self._stopping.set()
        # A claim that is under way must end, so that its sagas are given back, too.
        await asyncio.wait([self._task], timeout=STOP_SECONDS)
        await end(self._task)
        await self._leases.abandon(set(self._driven), wait_seconds=STOP_SECONDS)

    async def _run(self) -> None:
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            while not stopping.done():
                await self._rest(await self._round(), stopping)
        finally:
            stopping.cancel()

    async def _round(self) -> set[SagaQueue]:
        try:
            return await self._look()
        except DatabaseUnavailable as error:
            log.warning("cannot look for sagas", error=named(error))
        except Exception:
            log.exception("cannot look for sagas")
        return set()

    async def _look(self) -> set[SagaQueue]:
        """Take up as many sagas as there are slots; return the queues that may hold more."""
        limits = self._free_slots()
        since = time.monotonic()
        claimed = await self._leases.claim(self._kinds, limits) if any(limits.values()) else []
        self._meter.claimed()
        self.pulse.beat()
        for row in claimed:
            self._take_up(row, since=since)
        taken = Counter(map(queue_of, claimed))
        return {queue for queue, limit in limits.items() if taken[queue] >= limit}

    def _free_slots(self) -> dict[SagaQueue, int]:
        busy = Counter(self._driven.values())
        return {queue: slots - busy[queue] for queue, slots in SLOTS.items()}

    def _take_up(self, row: SagaRow, *, since: float) -> None:
        try:
            saga = saga_of(row)
        except Exception as error:  # noqa: BLE001 - whatever the row holds, it stops no other
            # Without the traceback, whose text may quote the row.
            log.error("saga unreadable", saga_id=str(row.id), saga=row.kind, error=named(error))  # noqa: TRY400
            self._meter.unreadable(row.kind)
            task = self._start_task(self._leases.postpone(row, error))
        else:
            task = self._drive(saga, Lease.of(saga, since=since))
        self._driven[task] = queue_of(row)
        task.add_done_callback(self._driven.pop)

    async def _rest(self, full: Collection[SagaQueue], stopping: asyncio.Task[object]) -> None:
        """Wait for the next poll, or until a queue that may hold more has a slot again."""
        free = self._free_slots()
        if any(free[queue] for queue in full):
            return  # a saga ended while the look was under way
        pause = asyncio.ensure_future(self._sleep(self._poll_seconds * random.uniform(0.8, 1.2)))
        slots = [task for task, queue in self._driven.items() if queue in full]
        try:
            await asyncio.wait([pause, stopping, *slots], return_when=asyncio.FIRST_COMPLETED)
        finally:
            pause.cancel()
