"""Warns when a participant's clock is far from the coordinator's.

Each compares the same moment, `not_after`, with the clock of its own database. The answer to
a step tells when the participant acted, which must be after the saga began and before now.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Final

import structlog

from services.kernel.sagas.model import Saga

FAR_APART_SECONDS: Final = 2.0
WARNED_EVERY_SECONDS: Final = 60.0

log = structlog.get_logger("lockstep.saga")


class ClockWatch:
    """Looks at the clocks of participants, and warns once a minute for each kind of saga."""

    def __init__(self) -> None:
        self._warned: dict[str, float] = {}

    def check(self, saga: Saga, time_there: datetime | None, *, deadline_seconds: float) -> None:
        """Warn if a participant's clock is far off.

        Args:
            saga: The saga, which has a deadline.
            time_there: When the participant acted, by its own clock; None if it did not say.
            deadline_seconds: The time between the saga's beginning and its deadline.
        """
        if time_there is None or saga.not_after is None or saga.expires is None:
            return
        seconds = _seconds_ahead(saga.not_after, saga.expires, time_there, deadline_seconds)
        now = time.monotonic()
        warned = self._warned.get(saga.kind)
        if abs(seconds) < FAR_APART_SECONDS or (
            warned is not None and now < warned + WARNED_EVERY_SECONDS
        ):
            return
        self._warned[saga.kind] = now
        log.warning("clocks differ", saga=saga.kind, participant_ahead_seconds=round(seconds, 1))


def _seconds_ahead(
    not_after: datetime, expires: float, time_there: datetime, deadline_seconds: float
) -> float:
    """Return how far the participant's clock is at least ahead; below zero: behind."""
    now = not_after - timedelta(seconds=expires - time.monotonic())
    begun = not_after - timedelta(seconds=deadline_seconds)
    if time_there > now:
        return (time_there - now).total_seconds()
    return min(0.0, (time_there - begun).total_seconds())
