"""A saga, as its row had it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from services.kernel.errors import ErrorRecord

Json = dict[str, Any]


class SagaState(StrEnum):
    """How far a saga is."""

    RUNNING = "RUNNING"
    COMPENSATING = "COMPENSATING"
    DONE = "DONE"
    ABORTED = "ABORTED"

    @property
    def is_final(self) -> bool:
        """Whether nothing will change any more."""
        return self in (SagaState.DONE, SagaState.ABORTED)


@dataclass(frozen=True, slots=True)
class Saga:
    """A saga as its row had it.

    Attributes:
        payload: What its steps need; never a secret.
        result: What the caller is told, once DONE.
        kept_error: The error as JSON, once COMPENSATING.
        expires: When it turns back, on the clock of `time.monotonic`; None: never.
        not_after: The same on the database's clock, for the participants.
    """

    id: UUID
    kind: str
    state: SagaState
    payload: Json
    result: Json | None
    kept_error: object
    user_id: UUID | None
    attempts: int
    last_error: str | None
    lease_epoch: int
    parked: bool
    not_after: datetime | None
    expires: float | None
    next_run_at: datetime
    create_time: datetime
    update_time: datetime

    @property
    def error(self) -> ErrorRecord | None:
        """What the caller is told, once COMPENSATING."""
        return None if self.kept_error is None else ErrorRecord.from_json(self.kept_error)
