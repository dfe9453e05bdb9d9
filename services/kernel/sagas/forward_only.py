"""Sagas that only go forward: their callers wait for a moment, not for their end."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from lockstep_clients import deadlines

from services.kernel.db.database import Database
from services.kernel.errors import DeadlineExceeded
from services.kernel.sagas import store as saga_store
from services.kernel.sagas.engine import SagaEngine
from services.kernel.sagas.model import NewSaga, P, R

PATIENCE_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class ForwardOnlySagas:
    """Begins sagas that only go forward, each without a dedup key.

    Their change is decided as soon as they have begun, so a caller gets an answer even while a
    participant is down. The participant follows when it is back.
    """

    database: Database
    engine: SagaEngine

    async def run(self, new: NewSaga[P, R]) -> None:
        """Begin a saga, and wait a moment for its end.

        Raises:
            DeadlineExceeded: It is not known whether the saga has begun.
        """
        try:
            with _patience():
                await self.engine.run(new)
        except DeadlineExceeded:
            if await saga_store.get(self.database, new.id) is None:
                raise


@contextlib.contextmanager
def _patience() -> Iterator[None]:
    longest = time.monotonic() + PATIENCE_SECONDS
    left = deadlines.current_deadline.get()
    token = deadlines.current_deadline.set(longest if left is None else min(left, longest))
    try:
        yield
    finally:
        deadlines.current_deadline.reset(token)
