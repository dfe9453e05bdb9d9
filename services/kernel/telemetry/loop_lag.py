"""How late the event loop is: every call in the process waits at least as long."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Final

from opentelemetry.metrics import Meter, Observation

from services.kernel.tasks import BackgroundTask

EVERY_SECONDS: Final = 0.5
KEPT: Final = 120


class LoopLag(BackgroundTask):
    """Measures how late the event loop wakes a task, and tells the worst of the last minute."""

    def __init__(self, meter: Meter) -> None:
        super().__init__(self._measure, name="loop-lag")
        self._lags = deque([0.0], maxlen=KEPT)
        meter.create_observable_gauge(
            "lockstep.event_loop.lag",
            callbacks=[lambda _: [Observation(max(self._lags))]],
            unit="s",
            description="The longest delay of the event loop in the last minute",
        )

    async def _measure(self) -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(EVERY_SECONDS)
            self._lags.append(time.monotonic() - began - EVERY_SECONDS)
