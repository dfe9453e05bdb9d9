"""The pitfalls, as variants of the protocol: each must break a promise that is watched.

P1 to P13 are what looks right and is wrong, N1 to N15 the windows of the registration
that everybody writes first (see `naive`). P12 belongs to the reconciler and is tested
with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

import psycopg
from sqlalchemy import ARRAY, Text, Uuid, bindparam, func, literal_column, select, text, update

from services.auth.errors import ProfileUnavailable
from services.auth.sagas.registration import RegistrationSaga
from services.auth.usecases import register as register_module
from services.kernel import barrier, saga_store
from services.kernel.database import Database, Statement, Transaction, Work
from services.kernel.errors import SagaCancelled
from services.kernel.saga import Definition, Steps
from services.kernel.saga_store import Json, Saga
from services.kernel.tables import SAGAS
from services.profile.usecases.cancel_profile import CancelProfile
from services.profile.usecases.create_profile import CreateProfile
from tests.faults.naive import Naive
from tests.faults.patching import patched
from tests.faults.scenarios import PASSWORD

Apply = Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Mutant:
    """A variant of the protocol that is wrong.

    Attributes:
        name: The pitfall or window.
        text: What is wrong about it.
        scenario: Where it shows.
        schedule: The shortest schedule that kills it.
        expected: What the violation says.
        applied: Puts it in place while its context lasts.
    """

    name: str
    text: str
    scenario: str
    schedule: str
    expected: str
    applied: Apply


# --- P1, P4, P5: the participant's cancel


async def _cancel_in_one_statement(self: CancelProfile, *, saga_id: UUID) -> None:
    async def cancel(tx: Transaction) -> None:
        await tx.execute(_ONE_STATEMENT, saga=saga_id)

    await self._database.transact("CancelProfile", cancel)


_SAGA = bindparam("saga", type_=Uuid)
_ONE_STATEMENT = Statement(
    text(
        """WITH tomb AS (
             INSERT INTO saga_barriers (saga_id, branch, state)
             VALUES (:saga, 'CreateProfile', 'CANCELLED')
             ON CONFLICT (saga_id, branch) DO UPDATE SET state = 'CANCELLED', reply = NULL
           ), gone AS (DELETE FROM profiles WHERE saga_id = :saga RETURNING user_id)
           DELETE FROM accounts WHERE user_id IN (SELECT user_id FROM gone)"""
    ).bindparams(_SAGA)
)
_FORGET_BARRIERS = Statement(
    text("DELETE FROM saga_barriers WHERE saga_id = :saga").bindparams(_SAGA)
)


def _cancel_what_the_barrier_knows() -> Any:
    original = CancelProfile.__call__

    async def cancel(self: CancelProfile, *, saga_id: UUID) -> None:
        row = await self._database.first(barrier._FIND, saga_id=saga_id, branch="CreateProfile")
        if row is not None:
            await original(self, saga_id=saga_id)
            return

        async def bury(tx: Transaction) -> None:
            await barrier.cancel(tx, saga_id=saga_id, branch="CreateProfile")

        await self._database.transact("CancelProfile", bury)

    return patched(CancelProfile, "__call__", cancel)


def _clear_the_tombstone() -> Any:
    original = CreateProfile.__call__

    async def create(self: CreateProfile, *, saga_id: UUID, **rest: Any) -> Any:
        try:
            return await original(self, saga_id=saga_id, **rest)
        except SagaCancelled:

            async def clear(tx: Transaction) -> None:
                await tx.execute(_FORGET_BARRIERS, saga=saga_id)

            await self._database.transact("clear", clear)
            raise

    return patched(CreateProfile, "__call__", create)


# --- P2, P9: the database


def _repeatable_read() -> Any:
    original = Database._attempt

    async def attempt(self: Database, name: str, work: Work[Any]) -> Any:
        async def isolated(tx: Transaction) -> Any:
            if name == "CreateProfile":
                await tx.connection.execute(b"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            return await work(tx)

        try:
            return await original(self, name, isolated)
        except psycopg.errors.SerializationFailure as error:
            raise SagaCancelled from error  # ABORTED, as frameworks map it

    return patched(Database, "_attempt", attempt)


def _client_side_time_limit() -> Any:
    async def transact(self: Database, name: str, work: Work[Any]) -> Any:
        try:
            async with asyncio.timeout(2.0):
                return await self._tries(name, work)
        except TimeoutError:
            raise ProfileUnavailable from None  # "it took too long, so it was not done"

    return patched(Database, "transact", transact)


# --- P3, P7, P10: the engine


@contextmanager
def _nothing_to_undo_after_a_refusal() -> Iterator[None]:
    original = Steps._back

    async def back(self: Steps, saga: Saga, definition: Definition, database: Database) -> Saga:
        assert saga.error is not None
        if saga.error["code"] == "UNAVAILABLE":
            return await original(self, saga, definition, database)
        return await self._decide("T4", partial(_end, definition, saga), saga, database)

    create = CreateProfile.__call__

    async def refuse_without_a_trace(self: CreateProfile, *, saga_id: UUID, **rest: Any) -> Any:
        try:
            return await create(self, saga_id=saga_id, **rest)
        except Exception:

            async def clear(tx: Transaction) -> None:
                await tx.execute(_FORGET_BARRIERS, saga=saga_id)

            await self._database.transact("refused", clear)
            raise

    with (
        patched(Steps, "_back", back),
        patched(CreateProfile, "__call__", refuse_without_a_trace),
    ):
        yield


async def _end(definition: Definition, saga: Saga, tx: Transaction) -> Saga:
    await definition.undo(tx, saga)
    aborted = await saga_store.mark_aborted(tx, saga.id)
    assert aborted is not None
    return aborted


def _undo_before_compensating() -> Any:
    async def back(self: Steps, saga: Saga, definition: Definition, database: Database) -> Saga:
        ended = await self._decide("T4", partial(_end, definition, saga), saga, database)
        await definition.compensate(saga)
        return ended

    return patched(Steps, "_back", back)


def _kill_at_the_deadline() -> Any:
    original = Steps._turn

    async def turn(self: Steps, saga: Saga, error: Any, database: Database) -> Saga:
        if error.code.name != "UNAVAILABLE":
            return await original(self, saga, error, database)

        async def kill(tx: Transaction) -> Saga:
            await saga_store.mark_compensating(tx, saga.id, error.record(), lease_seconds=1.0)
            aborted = await saga_store.mark_aborted(tx, saga.id)
            assert aborted is not None
            return aborted

        return await self._decide("T3", kill, saga, database)

    return patched(Steps, "_turn", turn)


# --- P6, P8: the store


def _resolve_by_reading() -> Any:
    async def confirm(tx: Transaction, saga_id: UUID) -> Saga:
        saga = await saga_store.get(tx, saga_id)
        assert saga is not None
        return saga

    return patched(saga_store, "confirm", confirm)


def _lease_by_a_clock_of_its_own() -> Any:
    ahead = func.saga_now() + literal_column("interval '1 hour'")
    due = (
        select(SAGAS.c.id)
        .where(
            saga_store._UNFINISHED,
            SAGAS.c.next_run_at <= ahead,
            SAGAS.c.kind == func.any(bindparam("kinds", type_=ARRAY(Text))),
        )
        .limit(bindparam("most"))
        .with_for_update(skip_locked=True)
    )
    claim = Statement(
        update(SAGAS)
        .where(SAGAS.c.id.in_(due))
        .values(
            lease_owner=bindparam("owner"),
            lease_epoch=SAGAS.c.lease_epoch + 1,
            attempts=SAGAS.c.attempts + 1,
            next_run_at=ahead + saga_store._interval("lease"),
        )
        .returning(*saga_store._COLUMNS)
    )
    return patched(saga_store, "_CLAIM", claim)


# --- P11, P13: the saga


def _retry_in_three_layers() -> Any:
    original = RegistrationSaga.forward

    async def forward(self: RegistrationSaga, saga: Saga) -> Json:
        for _ in range(24):
            try:
                return await original(self, saga)
            except Exception:  # noqa: BLE001, S112, PERF203 - that is what is wrong
                continue
        return await original(self, saga)

    return patched(RegistrationSaga, "forward", forward)


def _secret_in_the_payload() -> Any:
    original = register_module.payload_of

    def payload_of(details: Any, *, is_verified: bool) -> Json:
        return {**original(details, is_verified=is_verified), "password": PASSWORD}

    return patched(register_module, "payload_of", payload_of)


# --- beyond the list: what holds the rest together


@contextmanager
def _decide_without_comparing() -> Iterator[None]:
    """T2 from any state."""
    done = Statement(
        update(SAGAS)
        .where(SAGAS.c.id == bindparam("saga_id"))
        .values(state="DONE", result=bindparam("result"), update_time=func.saga_now())
        .returning(*saga_store._COLUMNS)
    )
    with patched(saga_store, "_DONE", done):
        yield


@contextmanager
def _no_barrier() -> Iterator[None]:
    async def once(tx: Transaction, *, work: Callable[[], Awaitable[Json]], **rest: Any) -> Json:
        return await work()

    async def reject(tx: Transaction, *, error: Exception, **rest: Any) -> None:
        raise error

    with ExitStack() as stack:
        stack.enter_context(patched(barrier, "once", once))
        stack.enter_context(patched(barrier, "reject", reject))
        yield


_TURNED = "a1.CreateProfile.reply:crash"

MUTANTS = {
    each.name: each
    for each in (
        Mutant(
            "P1",
            "cancels in one statement, whose snapshot is older than what it waited for",
            "register",
            "p1.CreateProfile.commit.sent:slow",
            "a profile has no user",
            lambda: patched(CancelProfile, "__call__", _cancel_in_one_statement),
        ),
        Mutant(
            "P2",
            "keeps its barrier in REPEATABLE READ and takes 40001 for an answer",
            "register",
            "p1.CreateProfile.commit.sent:overlap",
            "one small fault made it fail",
            _repeatable_read,
        ),
        Mutant(
            "P3",
            "undoes nothing after a refusal",
            "register-refused",
            "a1.CreateProfile.request:again",
            "a profile has no user",
            _nothing_to_undo_after_a_refusal,
        ),
        Mutant(
            "P4",
            "undoes only what the barrier remembers",
            "register",
            f"{_TURNED} a2.T3.commit.acked:age",
            "a profile has no user",
            _cancel_what_the_barrier_knows,
        ),
        Mutant(
            "P5",
            "clears the tombstone when it has refused a late step",
            "register-refused",
            "a1.CreateProfile.request:again",
            "a profile has no user",
            _clear_the_tombstone,
        ),
        Mutant(
            "P6",
            "resolves an unknown commit by reading",
            "register",
            "a1.T1.commit.sent:failover",
            "a profile has no user",
            _resolve_by_reading,
        ),
        Mutant(
            "P7",
            "deletes the user before it cancels the profile",
            "register",
            _TURNED,
            "a profile has no user",
            _undo_before_compensating,
        ),
        Mutant(
            "P8",
            "takes leases by a clock of its own",
            "register",
            "a1.CreateProfile.request:lose",
            "a lease was taken while it was good",
            _lease_by_a_clock_of_its_own,
        ),
        Mutant(
            "P9",
            "limits transactions by a timer of the client, and takes that for an answer",
            "cancel",
            "c1.T1.commit.acked:nap",
            "cancelling a paid order failed",
            _client_side_time_limit,
        ),
        Mutant(
            "P10",
            "ends what has taken too long, and undoes nothing",
            "register",
            _TURNED,
            "a user is PENDING for ever",
            _kill_at_the_deadline,
        ),
        Mutant(
            "P11",
            "repeats in three layers",
            "register",
            "a1.CreateProfile.request:down",
            "CreateProfile was sent",
            _retry_in_three_layers,
        ),
        Mutant(
            "P13",
            "writes a secret into the saga's row",
            "register",
            "",
            "a saga's row holds a secret",
            _secret_in_the_payload,
        ),
        Mutant(
            "X1",
            "decides for DONE from any state",
            "register",
            "a1.T2.statement#1:pause",
            "a saga went from",
            _decide_without_comparing,
        ),
        Mutant(
            "X2",
            "has no barrier at the participant",
            "register",
            "a1.CreateProfile.reply:reset",
            "one small fault made it fail",
            _no_barrier,
        ),
        Mutant(
            "N1",
            "takes a commit whose answer is lost for one that failed",
            "register",
            "a1.T1.commit.sent:lost",
            "a user is PENDING for ever",
            Naive().applied,
        ),
        Mutant(
            "N2",
            "forgets what it was doing when it is killed after its commit",
            "register",
            "a1.T1.commit.acked:crash",
            "a user is PENDING for ever",
            Naive().applied,
        ),
        Mutant(
            "N3",
            "forgets what it was doing when it is killed during the call",
            "register",
            "a1.CreateProfile.reply:crash",
            "a user is PENDING for ever",
            Naive().applied,
        ),
        Mutant(
            "N4",
            "takes a call without an answer for one that failed",
            "register",
            "a1.CreateProfile.reply:lose",
            "a profile has no user",
            Naive().applied,
        ),
        Mutant(
            "N5",
            "deletes the user while the call is still on its way",
            "register",
            "a1.CreateProfile.request:delay",
            "a profile has no user",
            Naive().applied,
        ),
        Mutant(
            "N6",
            "is killed before it has undone",
            "register",
            "a1.CreateProfile.request:refuse a1.undo.commit.sent:crash",
            "a user is PENDING for ever",
            Naive().applied,
        ),
        Mutant(
            "N7",
            "cannot undo, and gives up",
            "register",
            "a1.CreateProfile.request:refuse a1.undo.commit.sent:cut",
            "a user is PENDING for ever",
            Naive().applied,
        ),
        Mutant(
            "N8",
            "does not undo when its caller leaves",
            "register",
            "a1.CreateProfile.request:leave",
            "a user is PENDING for ever",
            Naive().applied,
        ),
        Mutant(
            "N9",
            "is cancelled while it undoes",
            "register",
            "a1.CreateProfile.request:refuse a1.undo.commit.sent:leave",
            "a user is PENDING for ever",
            Naive().applied,
        ),
        Mutant(
            "N10",
            "does not undo when it is stopped",
            "register",
            "a1.CreateProfile.request:stop",
            "a user is PENDING for ever",
            Naive().applied,
        ),
        Mutant(
            "N11",
            "takes the second answer to a repeated call for a failure",
            "register",
            "a1.CreateProfile.reply:reset",
            "a profile has no user",
            Naive(repeats=True, has_barrier=False).applied,
        ),
        Mutant(
            "N12",
            "takes INTERNAL for a failure",
            "register",
            "a1.CreateProfile.reply:garble",
            "a profile has no user",
            Naive().applied,
        ),
        Mutant(
            "N13",
            "shows a user that may vanish",
            "register",
            "",
            "an ACTIVE user has no profile",
            Naive(is_visible=True).applied,
        ),
        Mutant(
            "N14",
            "gives a new user the profile that an older one has left",
            "register",
            "a1.CreateProfile.reply:lose",
            "an ACTIVE user has no profile",
            Naive(has_barrier=False, adopts=True).applied,
        ),
        Mutant(
            "N15",
            "writes down nowhere what is in doubt",
            "register",
            "a1.T1.commit.acked:crash",
            "nothing fails, and the same key got REGISTRATION_IN_PROGRESS",
            Naive().applied,
        ),
    )
}
