"""Sagas: their rows, and the types of the JSON in their rows.

The JSON is decoded in the step that needs it, never when the row is read. The row of a
forgotten user holds none any more, and that of another version may hold anything.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Generic, TypeVar, cast
from uuid import UUID

import grpc
import pydantic
import structlog
from pydantic import ConfigDict, TypeAdapter, ValidationError

from services.kernel.db.database import Database, Transaction
from services.kernel.errors import ErrorRecord, Internal, RecordedError, RequestInProgress
from services.kernel.ids import new_id

log = structlog.get_logger("lockstep.saga")

P = TypeVar("P")
R = TypeVar("R")
T = TypeVar("T")

CLOCK_ALLOWANCE: Final = timedelta(hours=1)
"""How far the clocks of two services' databases may differ before one refuses every saga.

It may be long: until tombstones are cleaned up, they alone refuse what comes too late. So
it must stay far below `cleaner.BARRIERS_KEPT`.
"""

STORED: Final = ConfigDict(extra="forbid")
"""The configuration of a dataclass that is kept as JSON."""


@pydantic.dataclasses.dataclass(frozen=True, slots=True, config=STORED)
class Nothing:
    """A payload or a result without fields."""


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


@dataclass(frozen=True, slots=True, repr=False)
class Saga:
    """A saga as its row had it, with its JSON as it is: personal data, so it has no repr.

    Attributes:
        version: The version of its kind, which tells the form of the JSON.
        expires: When it turns back, on the clock of `time.monotonic`; None: never.
        not_after: The same on the database's clock, for the participants.
        traceparent: The place in a trace of the request that began it; None: unknown.
        remembered: What the change in T1 or T2 has returned, if this process has just committed
            it. None otherwise: then the rows tell.
    """

    id: UUID
    kind: str
    version: int
    state: SagaState
    payload: object
    result: object
    kept_error: object
    user_id: UUID | None
    attempts: int
    lease_epoch: int
    not_after: datetime | None
    expires: float | None
    create_time: datetime
    update_time: datetime
    traceparent: str | None = None
    remembered: object = None

    @property
    def error(self) -> ErrorRecord | None:
        """The error that the caller is told, once COMPENSATING."""
        return None if self.kept_error is None else ErrorRecord.from_json(self.kept_error)

    @property
    def is_decided(self) -> bool:
        """Whether its outcome will not change any more."""
        if self.state is not SagaState.COMPENSATING:
            return self.state.is_final
        # Compensation may take as long as the participant stays unavailable.
        return self.error is not None and self.error.code is grpc.StatusCode.UNAVAILABLE


@dataclass(frozen=True, slots=True, repr=False)
class Outcome(Generic[R]):
    """The end of a saga. Without result and error it was forgotten with its user."""

    result: R | None = None
    error: ErrorRecord | None = None

    @property
    def is_forgotten(self) -> bool:
        """Whether the end is not known any more."""
        return self.result is None and self.error is None

    def unwrap(self) -> R:
        """Return the result.

        Raises:
            DomainError: The saga was undone, or is bound to be.
        """
        if self.error is not None:
            raise RecordedError(self.error)
        assert self.result is not None
        return self.result


@dataclass(frozen=True, slots=True, repr=False)
class RunningSaga(Generic[P]):
    """A saga as a step of it needs it.

    Attributes:
        database: The connections on which it is driven, for what the step reads and writes
            outside of the commits that decide. Those of requests may all be taken.
    """

    saga: Saga
    payload: P
    database: Database

    @property
    def id(self) -> UUID:
        """The saga's id."""
        return self.saga.id

    @property
    def user_id(self) -> UUID:
        """The user whom the saga is about."""
        assert self.saga.user_id is not None
        return self.saga.user_id

    @property
    def remembered(self) -> object:
        """What T1 has returned, if this process has just committed it; None otherwise."""
        return self.saga.remembered

    @property
    def driven_since(self) -> datetime:
        """The time, on the database's clock, at which its driver has begun or claimed it."""
        return self.saga.update_time

    @property
    def not_after(self) -> datetime:
        """The time after which a participant must refuse; only sagas with a deadline have it.

        The participant compares it with a clock of its own, which may differ.
        """
        assert self.saga.not_after is not None
        return self.saga.not_after + CLOCK_ALLOWANCE

    @property
    def error(self) -> ErrorRecord:
        """The error that has turned the saga back."""
        assert self.saga.error is not None
        return self.saga.error


Lock = Callable[[Transaction], Awaitable[None]]
InitialChange = Callable[[Transaction, UUID], Awaitable[object]]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class NewSaga(Generic[P, R]):
    """A saga that is to begin; `SagaKind.new` makes one.

    Attributes:
        payload: The facts that its steps need; never a secret.
        lock: Locks, first of all in T1, what comes before the saga and its dedup key.
        initial_change: The coordinator's own change, in T1, given the saga's id. Its errors end
            the saga before it has begun. What it returns spares the first step a read (see
            `Saga`). None if taking the dedup key is the whole change.
    """

    id: UUID
    kind: SagaKind[P, R]
    payload: P
    user_id: UUID | None
    lock: Lock | None
    initial_change: InitialChange | None


class SagaKind(Generic[P, R]):
    """A kind of sagas: its name in their rows, and the types of their payload and result.

    Fields with a default are left out of the JSON where they have it.

    Args:
        name: The name in the rows; never to be used for another kind.
        payload: The dataclass of the facts that the steps need (see `STORED`).
        result: The dataclass of the answer to the caller.
        version: Grows when one of the two changes. A process leaves alone a row whose version
            it does not know.
        since: The first version whose rows these classes can read, too: by defaults of
            their new fields.

    Raises:
        TypeError: One of the classes would ignore a field that it does not know.
    """

    def __init__(
        self,
        name: str,
        payload: type[P],
        result: type[R],
        *,
        version: int,
        since: int | None = None,
    ) -> None:
        self.name = name
        self.version = version
        self.versions = range(version if since is None else since, version + 1)
        self._payload = _adapter(payload)
        self._result = _adapter(result)

    def new(
        self,
        payload: P,
        *,
        user_id: UUID | None,
        lock: Lock | None = None,
        initial_change: InitialChange | None = None,
    ) -> NewSaga[P, R]:
        """Return a saga that is to begin.

        Args:
            payload: The facts that its steps need; never a secret.
            user_id: The user whom it is about.
            lock: See `NewSaga`.
            initial_change: See `NewSaga`.
        """
        return NewSaga(
            id=new_id(),
            kind=self,
            payload=payload,
            user_id=user_id,
            lock=lock,
            initial_change=initial_change,
        )

    def payload_json(self, payload: P) -> object:
        """Return a payload as its row holds it."""
        return self._payload.dump_python(payload, mode="json", exclude_defaults=True)

    def result_json(self, result: R) -> object:
        """Return a result as its row holds it."""
        return self._result.dump_python(result, mode="json", exclude_defaults=True)

    def running(self, saga: Saga, database: Database) -> RunningSaga[P]:
        """Return a saga of this kind for one of its steps.

        Args:
            saga: The saga.
            database: The connections on which it is driven.

        Raises:
            Internal: The row holds something else.
        """
        payload = read_stored(self._payload, saga.payload, "the payload of a saga")
        return RunningSaga(saga, payload, database)

    def payload_of(self, saga: Saga) -> P | None:
        """Return a saga's payload; None when it was forgotten, or is of another kind."""
        if not self._is_of(saga):
            return None
        return _kept(self._payload, saga.payload, "the payload of a saga")

    def outcome_of(self, saga: Saga) -> Outcome[R]:
        """Return the outcome of a saga of this kind that has ended, or is bound to.

        Raises:
            RequestInProgress: A newer process knows how to read it.
        """
        if saga.state is not SagaState.DONE:
            return Outcome(error=saga.error)
        if not self._is_of(saga):
            raise RequestInProgress
        if saga.remembered is not None:
            return Outcome(result=cast(R, saga.remembered))
        return Outcome(result=_kept(self._result, saga.result, "the result of a saga"))

    def _is_of(self, saga: Saga) -> bool:
        return saga.kind == self.name and saga.version in self.versions


def _adapter(stored: type[T]) -> TypeAdapter[T]:
    config: ConfigDict = getattr(stored, "__pydantic_config__", ConfigDict())
    if config.get("extra") != "forbid":
        raise TypeError(f"{stored.__name__} must forbid fields that it does not know")
    return TypeAdapter(stored)


def read_stored(adapter: TypeAdapter[T], stored: object, what: str) -> T:
    """Read the JSON of a row.

    Args:
        adapter: Reads the type that it must have.
        stored: The JSON.
        what: Names it for the operators.

    Raises:
        Internal: It is something else.
    """
    try:
        return adapter.validate_python(stored)
    except ValidationError:
        # Without the error, whose text quotes the value.
        log.error("a stored value is malformed", value=what)  # noqa: TRY400
        raise Internal from None


def _kept(adapter: TypeAdapter[T], kept: object, what: str) -> T | None:
    """Read JSON that was kept; None: forgotten, which leaves `{}` or NULL."""
    if kept:
        return read_stored(adapter, kept, what)
    try:
        return adapter.validate_python(kept)
    except ValidationError:
        return None
