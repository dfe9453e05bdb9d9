"""Sagas that were decided when they began: there is no way back, so they go on for ever."""

from __future__ import annotations

from services.kernel.db.database import Transaction
from services.kernel.errors import DomainError, Internal
from services.kernel.sagas.store import Saga


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
