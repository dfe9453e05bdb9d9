"""Sagas: a request that changes several services happens everywhere or nowhere.

One row in the coordinator's database decides: RUNNING -> DONE, or RUNNING ->
COMPENSATING -> ABORTED, each step a compare-and-set. The engine drives it:

    T1  the coordinator's own change, provisional, and the saga's row, in one commit
    A   the participants are asked, again and again until they answer or time is up
    T2  DONE, and the change becomes final, in one commit
    T3  COMPENSATING: from here on no process can reach T2
    C   the participants are told to compensate, again and again until they have
    T4  the provisional change is undone, and ABORTED, in one commit

No C before T3 is committed; T2 only from RUNNING. Leases and clocks make it fast,
never safe: two drivers of one saga are harmless, because the participants have
barriers and one of the compare-and-sets wins. They compare the epoch of the lease, too,
so a driver whose lease was taken decides nothing any more.
"""

from __future__ import annotations

import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar
from uuid import UUID

from lockstep_clients import deadlines

from services.kernel.db.database import Database, Reader, Transaction
from services.kernel.errors import DomainError, SagaCancelled, SagaNotFound
from services.kernel.sagas import idempotency
from services.kernel.sagas import store as saga_store
from services.kernel.sagas.barrier import TIME
from services.kernel.sagas.clocks import ClockWatch
from services.kernel.sagas.idempotency import EarlierRequest
from services.kernel.sagas.leases import LeaseLost
from services.kernel.sagas.model import NewSaga, P, R, RunningSaga, Saga, SagaKind, SagaState
from services.kernel.sagas.spans import NO_SPANS, SagaSpans
from services.kernel.sagas.store import LEASE_SECONDS

A = TypeVar("A")
R_co = TypeVar("R_co", covariant=True)


class Rejected(Exception):
    """A participant has refused: the step was not done and never will be.

    Any other error of a step means "maybe done".
    """

    def __init__(self, error: DomainError) -> None:
        """Carry the error that the caller is told."""
        super().__init__(error.reason)
        self.error = error


@dataclass(frozen=True, slots=True)
class Deadline:
    """The time after which a saga turns back, and the error for its caller then."""

    seconds: float
    error: type[DomainError]


class ReversibleSaga(ABC, Generic[P, A, R]):
    """A kind of sagas that can turn back. Every method may run more than once.

    Attributes:
        deadline: None where only a participant can turn it back.
    """

    kind: SagaKind[P, R]
    deadline: Deadline | None

    @abstractmethod
    async def forward(self, saga: RunningSaga[P]) -> A:
        """Ask the participants (A) and return their answer.

        Raises:
            Rejected: One of them has refused.
        """

    def time_of(self, answer: A) -> datetime | None:  # noqa: ARG002 - the answer may have none
        """Return when the participant acted, by its own clock; None if it does not say."""
        return None

    @abstractmethod
    async def complete(self, tx: Transaction, saga: RunningSaga[P], answer: A) -> R:
        """Make the change final (in T2), and return the result for the caller."""

    @abstractmethod
    async def compensate(self, saga: RunningSaga[P]) -> None:
        """Let every participant compensate (C), also those that refused."""

    @abstractmethod
    async def undo(self, tx: Transaction, saga: RunningSaga[P]) -> None:
        """Take the provisional change back (in T4)."""


class ForwardOnlySaga(ABC, Generic[P, R]):
    """A kind of sagas that cannot be refused once they have begun.

    Every method may run more than once.
    """

    kind: SagaKind[P, R]

    @abstractmethod
    async def forward(self, saga: RunningSaga[P]) -> None:
        """Let the participants follow the change that T1 has decided."""

    @abstractmethod
    async def complete(self, tx: Transaction, saga: RunningSaga[P]) -> R:
        """Make the change final (in T2), and return the result for the caller."""


# A saga of any kind: its own `kind` knows the types.
AnySaga = ReversibleSaga[Any, Any, Any] | ForwardOnlySaga[Any, Any]


class DedupKey(Protocol[R_co]):
    """A key that two requests share if they are the same one: the first to take it begins."""

    async def find(self, reader: Reader) -> EarlierRequest | None:
        """Return the earlier request, if there was one."""

    async def take(self, tx: Transaction, saga_id: UUID) -> EarlierRequest | None:
        """Take the key for a saga (in T1), or return the request that has taken it.

        Wait while another request is taking it. Change nothing if one has.
        """

    async def keep(self, database: Database, error: DomainError) -> EarlierRequest | None:
        """Keep a refusal, or return the request that has taken the key."""

    async def gone(self, reader: Reader) -> R_co:
        """Answer a request whose saga was cleaned up, or forgotten with its user.

        Raises:
            DomainError: The answer is lost.
        """


class SagaStateMachine:
    """The state machine of sagas: their next steps, and the commits that decide them."""

    def __init__(self, sagas: Iterable[AnySaga], spans: SagaSpans = NO_SPANS) -> None:
        self._spans = spans
        self._sagas = {
            (each.kind.name, version): each for each in sagas for version in each.kind.versions
        }
        self._clocks = ClockWatch()

    @property
    def kinds(self) -> list[tuple[str, int]]:
        """The names and versions of the kinds that are known here."""
        return sorted(self._sagas)

    async def begin(
        self,
        tx: Transaction,
        new: NewSaga[P, R],
        key: DedupKey[R] | None,
        *,
        owner: str,
        traceparent: str | None = None,
    ) -> Saga | EarlierRequest:
        """Write the saga's row and make the coordinator's own change: the body of T1.

        Returns the saga, or the request that has taken the key: then no saga begins.
        """
        definition = self._sagas[new.kind.name, new.kind.version]
        deadline = definition.deadline if isinstance(definition, ReversibleSaga) else None
        if new.lock is not None:
            await new.lock(tx)
        saga = await saga_store.insert_saga(
            tx,
            new,
            owner=owner,
            lease_seconds=LEASE_SECONDS,
            deadline_seconds=None if deadline is None else deadline.seconds,
            traceparent=traceparent,
        )
        if saga is None:
            # The commit of the last try, whose answer was lost, has happened. Confirm it by
            # a write: a read may see a commit that a failover still loses (R36).
            return await saga_store.confirm(tx, new.id)
        # After the saga's row: a T1 that runs again would take its own key for another's.
        if key is not None and (earlier := await key.take(tx, new.id)) is not None:
            await saga_store.remove(tx, new.id)
            return earlier
        if new.initial_change is None:
            return saga
        return replace(saga, remembered=await new.initial_change(tx, new.id))

    async def next(self, saga: Saga, database: Database) -> Saga:
        """Take a saga one step further: A and T2, T3, or C and T4.

        Returns the saga as it is then.

        Raises:
            LeaseLost: Another driver has taken the saga up.
            Exception: Nothing was decided.
        """
        definition = self._sagas[saga.kind, saga.version]
        if isinstance(definition, ForwardOnlySaga):
            return await self._only_forward(saga, definition, database)
        if saga.state is SagaState.COMPENSATING:
            return await self._back(saga, definition, database)
        return await self._forward(saga, definition, database)

    async def _only_forward(
        self, saga: Saga, definition: ForwardOnlySaga[P, R], database: Database
    ) -> Saga:
        if saga.state is SagaState.COMPENSATING:
            raise RuntimeError(f"{saga.kind} cannot turn back")
        running = definition.kind.running(saga, database)
        with _bounded(None), self._spans.step("A"):
            await definition.forward(running)

        async def complete(tx: Transaction) -> R:
            return await definition.complete(tx, running)

        return await self._complete(saga, definition.kind, complete, database)

    async def _forward(
        self, saga: Saga, definition: ReversibleSaga[P, A, R], database: Database
    ) -> Saga:
        deadline, running = definition.deadline, definition.kind.running(saga, database)
        if deadline and saga.expires is not None and time.monotonic() >= saga.expires:
            return await self._turn(saga, deadline.error(), database)
        try:
            with _bounded(saga.expires), self._spans.step("A"):
                answer = await definition.forward(running)
        except Rejected as refusal:
            error = self._told(saga, deadline, refusal.error)
            return await self._turn(saga, error, database)
        if deadline is not None:
            self._clocks.check(saga, definition.time_of(answer), deadline_seconds=deadline.seconds)

        async def complete(tx: Transaction) -> R:
            return await definition.complete(tx, running, answer)

        return await self._complete(saga, definition.kind, complete, database)

    def _told(self, saga: Saga, deadline: Deadline | None, refusal: DomainError) -> DomainError:
        """Return the error for the caller of a saga that a participant has refused.

        A step that came too late, or after a faster driver had cancelled it, says nothing about
        the request. Its caller is told the same as when time was up here.
        """
        if deadline is None or refusal.reason != SagaCancelled.reason:
            return refusal
        if (told := refusal.metadata.get(TIME)) is not None:
            time_there = datetime.fromisoformat(told)
            self._clocks.check(saga, time_there, deadline_seconds=deadline.seconds)
        return deadline.error()

    async def _complete(
        self,
        saga: Saga,
        kind: SagaKind[P, R],
        complete: Callable[[Transaction], Awaitable[R]],
        database: Database,
    ) -> Saga:
        async def t2(tx: Transaction) -> Saga:
            result = await complete(tx)
            kept = kind.result_json(result)
            done = await saga_store.mark_done(tx, saga, kept)
            if done is None:
                raise _LostRaceError
            # A T2 that runs again keeps the first answer, and all get that one.
            return replace(done, remembered=result) if done.result == kept else done

        return await self._decide("T2", t2, saga, database)

    async def _turn(self, saga: Saga, error: DomainError, database: Database) -> Saga:
        record = error.record()

        async def t3(tx: Transaction) -> Saga:
            turned = await saga_store.mark_compensating(
                tx, saga, record, lease_seconds=LEASE_SECONDS
            )
            if turned is None:
                raise _LostRaceError
            if turned.error is not None and not turned.error.is_kept:
                await idempotency.free(tx, saga.id)
            return turned

        return await self._decide("T3", t3, saga, database)

    async def _back(
        self, saga: Saga, definition: ReversibleSaga[P, A, R], database: Database
    ) -> Saga:
        running = definition.kind.running(saga, database)
        with self._spans.step("C"):
            await definition.compensate(running)

        async def t4(tx: Transaction) -> Saga:
            await definition.undo(tx, running)
            aborted = await saga_store.mark_aborted(tx, saga)
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
        """Commit a decision, or follow the one that another driver has made.

        Raises:
            LeaseLost: Another driver has taken the saga up, and has not ended it yet.
        """
        try:
            return await database.transact(name, work)
        except _LostRaceError:
            winner = await saga_store.get(database, saga.id)
            if winner is None:
                raise SagaNotFound from None
            if winner.lease_epoch != saga.lease_epoch and not winner.state.is_final:
                raise LeaseLost from None
            return winner


class _LostRaceError(Exception):
    """Another driver has decided, or has the lease; internal to this module."""


@contextlib.contextmanager
def _bounded(expires: float | None) -> Iterator[None]:
    token = deadlines.current_deadline.set(expires)
    try:
        yield
    finally:
        deadlines.current_deadline.reset(token)
