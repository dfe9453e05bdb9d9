"""Protocols that are wrong, each in one way; see `mutants` for what they are."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

import grpc
import psycopg
from sqlalchemy import Integer, Uuid, bindparam, func, literal_column, select, text, tuple_, update

from services.auth.domain.registration import Details
from services.auth.errors import RegistrationUnavailable
from services.auth.sagas import registration
from services.auth.sagas.registration import (
    ProfileCreated,
    RegistrationPayload,
    RegistrationSaga,
)
from services.kernel.db.database import Database, Transaction, Work
from services.kernel.db.failure import TryAgain
from services.kernel.db.statement import NoRow, Statement
from services.kernel.db.tables import SAGAS, UNFINISHED
from services.kernel.errors import DomainError, ErrorRecord, SagaCancelled
from services.kernel.sagas import barrier, lease_store
from services.kernel.sagas import store as saga_store
from services.kernel.sagas.model import RunningSaga, Saga
from services.kernel.sagas.protocol import ReversibleSaga, SagaStateMachine
from services.kernel.sagas.requests import IdempotencyKey
from services.kernel.sagas.store import BySaga, interval
from services.profile.usecases.cancel_profile import CancelProfile
from services.profile.usecases.create_profile import CreateProfile
from tests.faults.patching import patched
from tests.faults.scenario import PASSWORD

T = TypeVar("T")
Reversible = ReversibleSaga[Any, Any, Any]

# --- P1, P4, P5: the participant's cancel


async def _one_statement(self: CancelProfile, *, saga_id: UUID, **_: object) -> None:
    async def cancel(tx: Transaction) -> None:
        await tx.execute(_ONE_STATEMENT, BySaga(saga_id))

    await self.database.transact("CancelProfile", cancel)


_SAGA = bindparam("saga_id", type_=Uuid)
_ONE_STATEMENT = Statement(
    text(
        """WITH tomb AS (
             INSERT INTO saga_barriers (saga_id, branch, state)
             VALUES (:saga_id, 'CreateProfile', 'CANCELLED')
             ON CONFLICT (saga_id, branch) DO UPDATE SET state = 'CANCELLED', reply = NULL
           ), gone AS (DELETE FROM profiles WHERE saga_id = :saga_id RETURNING user_id)
           DELETE FROM accounts WHERE user_id IN (SELECT user_id FROM gone)"""
    ).bindparams(_SAGA),
    BySaga,
    NoRow,
)
_FORGET_BARRIERS = Statement(
    text("DELETE FROM saga_barriers WHERE saga_id = :saga_id").bindparams(_SAGA), BySaga, NoRow
)


def cancel_in_one_statement() -> AbstractContextManager[None]:
    return patched(CancelProfile, "__call__", _one_statement)


def cancel_what_the_barrier_knows() -> AbstractContextManager[None]:
    original = CancelProfile.__call__

    async def cancel(self: CancelProfile, *, saga_id: UUID, actor: str) -> None:
        row = await self.database.first(barrier._FIND, barrier._Branch(saga_id, "CreateProfile"))
        if row is not None and row.state == "DONE":
            await original(self, saga_id=saga_id, actor=actor)
            return

        async def bury(tx: Transaction) -> None:
            await barrier.cancel(tx, saga_id=saga_id, branch="CreateProfile")

        await self.database.transact("CancelProfile", bury)

    return patched(CancelProfile, "__call__", cancel)


def clear_the_tombstone() -> AbstractContextManager[None]:
    original = CreateProfile.__call__

    async def create(self: CreateProfile, *, saga_id: UUID, **rest: Any) -> Any:
        try:
            return await original(self, saga_id=saga_id, **rest)
        except SagaCancelled:

            async def clear(tx: Transaction) -> None:
                await tx.execute(_FORGET_BARRIERS, BySaga(saga_id))

            await self.database.transact("clear", clear)
            raise

    return patched(CreateProfile, "__call__", create)


# --- P2, P9: the database


def repeatable_read() -> AbstractContextManager[None]:
    original = Database._attempt

    async def attempt(self: Database, name: str, work: Work[Any]) -> Any:
        async def isolated(tx: Transaction) -> Any:
            if name == "CreateProfile":
                await tx.connection.execute(b"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            return await work(tx)

        try:
            return await original(self, name, isolated)
        except TryAgain as error:
            if not isinstance(error.__cause__, psycopg.errors.SerializationFailure):
                raise
            raise SagaCancelled from error  # ABORTED, as frameworks map it

    return patched(Database, "_attempt", attempt)


@contextmanager
def client_side_time_limit() -> Iterator[None]:
    async def transact(self: Database, name: str, work: Work[Any]) -> Any:
        try:
            async with asyncio.timeout(2.0):
                return await self._tries(name, work)
        except TimeoutError:
            raise RegistrationUnavailable from None  # "it took too long, so it was not done"

    # Asking the key once more would find out that it was done.
    with patched(Database, "transact", transact), refuse_although_a_copy_has_begun():
        yield


# --- P3, P7, P10: the engine


@contextmanager
def nothing_to_undo_after_a_refusal() -> Iterator[None]:
    original = SagaStateMachine._back

    async def back(
        self: SagaStateMachine,
        saga: Saga,
        definition: Reversible,
        database: Database,
    ) -> Saga:
        assert saga.error is not None
        if saga.error.code is grpc.StatusCode.UNAVAILABLE:
            return await original(self, saga, definition, database)
        return await self._decide("T4", partial(_end, definition, saga, database), saga, database)

    create = CreateProfile.__call__

    async def refuse_without_a_trace(self: CreateProfile, *, saga_id: UUID, **rest: Any) -> Any:
        try:
            return await create(self, saga_id=saga_id, **rest)
        except Exception:

            async def clear(tx: Transaction) -> None:
                await tx.execute(_FORGET_BARRIERS, BySaga(saga_id))

            await self.database.transact("refused", clear)
            raise

    with (
        patched(SagaStateMachine, "_back", back),
        patched(CreateProfile, "__call__", refuse_without_a_trace),
    ):
        yield


async def _end(definition: Reversible, saga: Saga, database: Database, tx: Transaction) -> Saga:
    await definition.undo(tx, definition.kind.running(saga, database))
    aborted = await saga_store.mark_aborted(tx, saga)
    assert aborted is not None
    return aborted


def undo_before_compensating() -> AbstractContextManager[None]:
    async def back(
        self: SagaStateMachine,
        saga: Saga,
        definition: Reversible,
        database: Database,
    ) -> Saga:
        end = partial(_end, definition, saga, database)
        ended = await self._decide("T4", end, saga, database)
        await definition.compensate(definition.kind.running(saga, database))
        return ended

    return patched(SagaStateMachine, "_back", back)


def kill_at_the_deadline() -> AbstractContextManager[None]:
    original = SagaStateMachine._turn

    async def turn(self: SagaStateMachine, saga: Saga, error: Any, database: Database) -> Saga:
        if error.code is not grpc.StatusCode.UNAVAILABLE:
            return await original(self, saga, error, database)

        async def kill(tx: Transaction) -> Saga:
            await saga_store.mark_compensating(tx, saga, error.record(), lease_seconds=1.0)
            aborted = await saga_store.mark_aborted(tx, saga)
            assert aborted is not None
            return aborted

        return await self._decide("T3", kill, saga, database)

    return patched(SagaStateMachine, "_turn", turn)


# --- P6, P8: the store


def resolve_by_reading() -> AbstractContextManager[None]:
    async def confirm(tx: Transaction, saga_id: UUID) -> Saga:
        saga = await saga_store.get(tx, saga_id)
        assert saga is not None
        return saga

    return patched(saga_store, "confirm", confirm)


def lease_by_a_clock_of_its_own() -> AbstractContextManager[None]:
    ahead = func.saga_now() + literal_column("interval '1 hour'")
    newest, oldest, tried, parked = (
        bindparam(name, type_=Integer) for name in ("newest", "oldest", "tried", "parked")
    )
    due = (
        select(SAGAS.c.id)
        .where(
            UNFINISHED,
            SAGAS.c.next_run_at <= ahead,
            tuple_(SAGAS.c.kind, SAGAS.c.version).in_(
                select(lease_store._KNOWN.c.kind, lease_store._KNOWN.c.version)
            ),
        )
        .limit(newest + oldest + tried + parked)
        .with_for_update(skip_locked=True)
    )
    claim = Statement(
        update(SAGAS)
        .where(SAGAS.c.id.in_(due))
        .values(
            lease_owner=bindparam("owner"),
            lease_epoch=SAGAS.c.lease_epoch + 1,
            attempts=SAGAS.c.attempts + 1,
            next_run_at=ahead + interval("lease"),
        )
        .returning(*saga_store.COLUMNS),
        lease_store.LeaseClaim,
        saga_store.SagaRow,
    )
    return patched(lease_store, "_CLAIM", claim)


# --- P11, P13: the saga


def retry_in_three_layers() -> AbstractContextManager[None]:
    original = RegistrationSaga.forward

    async def forward(
        self: RegistrationSaga, saga: RunningSaga[RegistrationPayload]
    ) -> ProfileCreated:
        for _ in range(24):
            try:
                return await original(self, saga)
            except Exception:  # noqa: BLE001 - that is what is wrong
                continue
        return await original(self, saga)

    return patched(RegistrationSaga, "forward", forward)


def secret_in_the_payload() -> AbstractContextManager[None]:
    original = registration.payload_of

    def payload_of(details: Details, *, is_verified: bool, has_code: bool) -> RegistrationPayload:
        made = original(details, is_verified=is_verified, has_code=has_code)
        return replace(made, full_name=PASSWORD)

    return patched(registration, "payload_of", payload_of)


# --- beyond the list: what holds the rest together


@contextmanager
def decide_without_comparing() -> Iterator[None]:
    """T2 from any state, by anybody."""
    any_epoch = bindparam("epoch", type_=Integer).is_not(None)
    done = Statement(
        update(SAGAS)
        .where(SAGAS.c.id == bindparam("saga_id"), any_epoch)
        .values(state="DONE", result=bindparam("result"), update_time=func.saga_now())
        .returning(*saga_store.COLUMNS),
        saga_store._Completion,
        saga_store.SagaRow,
    )
    with patched(saga_store, "_DONE", done):
        yield


@contextmanager
def no_barrier() -> Iterator[None]:
    async def once(tx: Transaction, *, work: Callable[[], Awaitable[T]], **rest: Any) -> T:
        return await work()

    async def reject(tx: Transaction, *, error: Exception, **rest: Any) -> None:
        raise error

    with ExitStack() as stack:
        stack.enter_context(patched(barrier, "once", once))
        stack.enter_context(patched(barrier, "reject", reject))
        yield


def keep_no_refusal() -> AbstractContextManager[None]:
    return patched(ErrorRecord, "is_kept", property(lambda _: False))


def refuse_although_a_copy_has_begun() -> AbstractContextManager[None]:
    async def keep(self: IdempotencyKey, database: Database, error: DomainError) -> None:
        return None

    return patched(IdempotencyKey, "keep", keep)
