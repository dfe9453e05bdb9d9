"""Sagas: a request that changes several services happens everywhere or nowhere.

One row in the coordinator's database decides: RUNNING -> DONE, or RUNNING ->
COMPENSATING -> ABORTED, each step a compare-and-set. The engine drives it:

    T1  the coordinator's own change, provisional, and the saga's row, in one commit
    A   the participants are asked, again and again until they answer or time is up
    T2  DONE, and the change becomes final, in one commit
    T3  COMPENSATING: from here nobody can reach T2
    C   the participants are told to undo, for ever until they have
    T4  the provisional change is undone, and ABORTED, in one commit

No C before T3 is committed; T2 only from RUNNING. Leases and clocks make it fast,
never safe: two drivers of one saga are harmless, because the participants have
barriers and one of the compare-and-sets wins.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

import grpc
from lockstep_clients import deadlines

from services.kernel.db.database import Database, Reader, Transaction
from services.kernel.errors import DomainError, ErrorRecord, RecordedError, SagaNotFound
from services.kernel.sagas import idempotency
from services.kernel.sagas import store as saga_store
from services.kernel.sagas.idempotency import Earlier
from services.kernel.sagas.model import Json, Saga, SagaState
from services.kernel.sagas.store import LEASE_SECONDS

_UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


class Rejected(Exception):
    """A participant has said no: the step was not done and never will be.

    Anything else that a step raises means "maybe done".
    """

    def __init__(self, error: DomainError) -> None:
        """Carry what the caller is told."""
        super().__init__(error.reason)
        self.error = error


class Definition(Protocol):
    """What one kind of saga does. Every method may run more than once.

    Attributes:
        kind: Its name in the saga's row.
        deadline_seconds: When it turns back unless done; None when it never does.
    """

    kind: str
    deadline_seconds: float | None

    async def forward(self, saga: Saga) -> Json:
        """Ask the participants (A) and return their answers.

        Raises:
            Rejected: One of them has refused.
        """

    async def complete(self, tx: Transaction, saga: Saga, replies: Json) -> Json:
        """Make the change final (in T2), and return what the caller is told."""

    async def compensate(self, saga: Saga) -> None:
        """Have every participant undo (C), those that refused too."""

    async def undo(self, tx: Transaction, saga: Saga) -> None:
        """Take the provisional change back (in T4)."""

    def unavailable(self) -> DomainError:
        """Return what the caller is told when time is up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSaga:
    """A saga that is to begin.

    Attributes:
        id: A fresh one.
        kind: Which definition.
        payload: What its steps need; never a secret.
        user_id: Whom it is about.
        initial_change: The coordinator's own change, in T1, where taking the dedup key is
            not all of it. What it raises ends the saga before it began.
    """

    id: UUID
    kind: str
    payload: Json
    user_id: UUID | None
    initial_change: Callable[[Transaction], Awaitable[None]] | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a saga ended, as far as a caller is concerned: it will not change.

    Attributes:
        result: The answer.
        error: The refusal.
        is_forgotten: Whether the answer was forgotten together with its user.
    """

    result: Json | None = None
    error: ErrorRecord | None = None
    is_forgotten: bool = False

    @classmethod
    def of(cls, saga: Saga) -> Outcome | None:
        """Return a saga's outcome, or None while it may still change."""
        match saga.state:
            case SagaState.DONE:
                return cls(result=saga.result, is_forgotten=not saga.payload)
            case SagaState.ABORTED:
                return cls(error=saga.error)
            case SagaState.COMPENSATING if saga.error and saga.error.code is _UNAVAILABLE:
                # Final, and undoing may take as long as what is down stays down.
                return cls(error=saga.error)
            case _:
                return None

    def unwrap(self) -> Json:
        """Return the result.

        Raises:
            DomainError: The saga was undone, or is bound to be.
        """
        if self.error is not None:
            raise RecordedError(self.error)
        assert self.result is not None
        return self.result


class DedupKey(Protocol):
    """What makes two requests the same one: the first to take it begins the saga."""

    async def find(self, reader: Reader) -> Earlier | None:
        """Return what is known of an earlier request, if there was one."""

    async def take(self, tx: Transaction, saga_id: UUID) -> Earlier | None:
        """Take the key for a saga (in T1), or return the request that has taken it.

        Waits while another request is taking it; changes nothing when one has.
        """

    async def keep(self, database: Database, error: DomainError) -> Earlier | None:
        """Keep a refusal, or return the request that has taken the key."""

    async def gone(self, reader: Reader) -> Json:
        """Answer a request whose saga was cleaned up.

        Raises:
            DomainError: Nobody knows the answer any more.
        """


class SagaStateMachine:
    """The state machine: what comes next for a saga, and the commits that decide it."""

    def __init__(self, definitions: Iterable[Definition]) -> None:
        """Know these kinds of sagas."""
        self._definitions = {each.kind: each for each in definitions}

    @property
    def kinds(self) -> list[str]:
        """The kinds that are known here."""
        return sorted(self._definitions)

    async def begin(
        self, tx: Transaction, new: NewSaga, key: DedupKey | None, *, owner: str
    ) -> Saga | Earlier:
        """Write the saga's row and make the coordinator's own change: the body of T1.

        Returns the saga, or the request that has taken the key; then nothing has begun.
        """
        saga = await saga_store.insert_saga(
            tx,
            saga_id=new.id,
            kind=new.kind,
            payload=new.payload,
            user_id=new.user_id,
            owner=owner,
            lease_seconds=LEASE_SECONDS,
            deadline_seconds=self._definitions[new.kind].deadline_seconds,
        )
        if saga is None:
            # The try whose answer was lost had committed. Read nothing into that
            # without a commit of our own: an unconfirmed read may lie.
            return await saga_store.confirm(tx, new.id)
        # After the saga's row: a T1 that runs again would take its own key for another's.
        if key is not None and (earlier := await key.take(tx, new.id)) is not None:
            await saga_store.remove(tx, new.id)
            return earlier
        if new.initial_change is not None:
            await new.initial_change(tx)
        return saga

    async def next(self, saga: Saga, database: Database) -> Saga:
        """Take a saga one step further: A and T2, T3, or C and T4.

        Returns the saga as it is then. Any error means that nothing was decided.
        """
        definition = self._definitions[saga.kind]
        if saga.state is SagaState.COMPENSATING:
            return await self._back(saga, definition, database)
        if saga.expires is not None and time.monotonic() >= saga.expires:
            return await self._turn(saga, definition.unavailable(), database)
        try:
            with _bounded(saga.expires):
                replies = await definition.forward(saga)
        except Rejected as refusal:
            return await self._turn(saga, refusal.error, database)
        return await self._complete(saga, definition, replies, database)

    async def _complete(
        self, saga: Saga, definition: Definition, replies: Json, database: Database
    ) -> Saga:
        async def t2(tx: Transaction) -> Saga:
            result = await definition.complete(tx, saga, replies)
            done = await saga_store.mark_done(tx, saga.id, result)
            if done is None:
                raise _LostRaceError
            return done

        return await self._decide("T2", t2, saga, database)

    async def _turn(self, saga: Saga, error: DomainError, database: Database) -> Saga:
        record = error.record()

        async def t3(tx: Transaction) -> Saga:
            turned = await saga_store.mark_compensating(
                tx, saga.id, record, lease_seconds=LEASE_SECONDS
            )
            if turned is None:
                raise _LostRaceError
            if turned.error is not None and not turned.error.is_kept:
                await idempotency.free(tx, saga.id)
            return turned

        return await self._decide("T3", t3, saga, database)

    async def _back(self, saga: Saga, definition: Definition, database: Database) -> Saga:
        await definition.compensate(saga)

        async def t4(tx: Transaction) -> Saga:
            await definition.undo(tx, saga)
            aborted = await saga_store.mark_aborted(tx, saga.id)
            if aborted is None:
                raise _LostRaceError
            return aborted

        return await self._decide("T4", t4, saga, database)

    async def _decide(
        self,
        name: str,
        work: Callable[[Transaction], Awaitable[Saga]],
        saga: Saga,
        database: Database,
    ) -> Saga:
        """Commit a decision, or follow the one that another driver has made."""
        try:
            return await database.transact(name, work)
        except _LostRaceError:
            winner = await saga_store.get(database, saga.id)
            if winner is None:
                raise SagaNotFound from None
            return winner


class _LostRaceError(Exception):
    """Another driver has decided; internal to this module."""


@contextlib.contextmanager
def _bounded(expires: float | None) -> Iterator[None]:
    token = deadlines.current_deadline.set(expires)
    try:
        yield
    finally:
        deadlines.current_deadline.reset(token)
