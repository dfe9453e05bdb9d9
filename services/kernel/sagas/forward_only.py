"""Sagas that are decided when they begin: there is no way back, so they go on for ever."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Final
from uuid import UUID

from lockstep_clients import deadlines

from services.kernel.db.database import Database, Transaction
from services.kernel.errors import DeadlineExceeded, DomainError, Internal
from services.kernel.ids import new_id
from services.kernel.sagas import store as saga_store
from services.kernel.sagas.engine import SagaEngine
from services.kernel.sagas.model import Saga
from services.kernel.sagas.protocol import NewSaga

PATIENCE_SECONDS: Final = 2.0


class ForwardOnly:
    """What of `saga.Definition` such a saga never needs: no step of it is rejected."""

    deadline_seconds: float | None = None

    async def compensate(self, saga: Saga) -> None:
        """Never happens."""
        raise NotImplementedError(saga.kind)

    async def undo(self, tx: Transaction, saga: Saga) -> None:
        """Never happens."""
        raise NotImplementedError(saga.kind)

    def unavailable(self) -> DomainError:
        """Never happens."""
        return Internal()


class ForwardOnlySagas:
    """Begins sagas that only go forward.

    What they are about is decided as soon as they have begun, so a caller gets an
    answer even while a participant is down; the participant follows when it is back.

    Args:
        database: The coordinator's.
        engine: Drives the sagas.
    """

    def __init__(self, database: Database, engine: SagaEngine) -> None:
        """See the class."""
        self._database = database
        self._engine = engine

    async def run(
        self,
        kind: str,
        *,
        user_id: UUID,
        initial_change: Callable[[Transaction, UUID], Awaitable[None]],
    ) -> None:
        """Begin a saga, and wait a moment for its end.

        Args:
            kind: Which.
            user_id: Whom it is about.
            initial_change: The coordinator's own change, given the saga's id; what it raises
                ends the saga before it began.

        Raises:
            DeadlineExceeded: Nobody knows whether it has begun.
        """
        saga_id = new_id()
        try:
            with _patience():
                await self._engine.run(
                    NewSaga(
                        id=saga_id,
                        kind=kind,
                        payload={},
                        user_id=user_id,
                        initial_change=lambda tx: initial_change(tx, saga_id),
                    )
                )
        except DeadlineExceeded:
            if await saga_store.get(self._database, saga_id) is None:
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
