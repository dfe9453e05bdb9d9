"""Wrong protocols that show in a clock, in a clean-up, in a read or in what they leave."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import grpc
from sqlalchemy import func, literal_column, text

from services.auth import events
from services.auth import store as auth_store
from services.auth.domain.audit import Event
from services.auth.sagas import registration
from services.auth.sagas.registration import RegistrationSaga
from services.auth.store import users
from services.commerce import store as commerce_store
from services.commerce.domain.stock_events import stock_facts
from services.commerce.model import OrderItem
from services.commerce.sagas import checkout
from services.commerce.store import checkouts, products, stock
from services.commerce.store.fulfilment import OrderLine
from services.commerce.store.products import StockChange
from services.common.errors import PhoneTaken
from services.common.vocabulary import Role
from services.kernel.audit import log
from services.kernel.db import cleaner
from services.kernel.db.cleaner import Cleanup, old_rows
from services.kernel.db.database import Database, Transaction
from services.kernel.db.failure import TryAgain
from services.kernel.db.statement import NoRow, Statement
from services.kernel.db.tables import SAGA_BARRIERS, SAGAS
from services.kernel.errors import DatabaseUnavailable, DomainError, Internal
from services.kernel.events.writer import Fact, tell
from services.kernel.ids import new_id
from services.kernel.sagas import idempotency, model
from services.kernel.sagas.model import Saga
from services.kernel.sagas.protocol import Deadline, SagaStateMachine
from services.profile import store as profile_store
from services.profile.store import wallets
from tests.faults.patching import patched

# --- clocks and clean-ups


def allow_nothing_for_skew() -> AbstractContextManager[None]:
    return patched(model, "CLOCK_ALLOWANCE", timedelta(0))


@contextmanager
def pass_lateness_on() -> Iterator[None]:
    def told(
        self: SagaStateMachine, saga: Saga, deadline: Deadline | None, refusal: DomainError
    ) -> DomainError:
        return refusal

    with allow_nothing_for_skew(), patched(SagaStateMachine, "_told", told):
        yield


def clean_tombstones_early() -> AbstractContextManager[None]:
    moment = func.coalesce(SAGA_BARRIERS.c.not_after, SAGA_BARRIERS.c.create_time)
    early = moment - literal_column("interval '2 hours'")
    return _cleaned(cleaner.OLD_BARRIERS, old_rows("barriers", SAGA_BARRIERS, early))


def clean_sagas_that_run() -> AbstractContextManager[None]:
    return _cleaned(cleaner.ENDED_SAGAS, old_rows("sagas", SAGAS, SAGAS.c.update_time))


@contextmanager
def _cleaned(right: Cleanup, wrong: Cleanup) -> Iterator[None]:
    """Let every service clean up in another way."""
    with ExitStack() as stack:
        for store in (auth_store, profile_store, commerce_store):
            cleanups = tuple(wrong if each is right else each for each in store.CLEANUPS)
            stack.enter_context(patched(store, "CLEANUPS", cleanups))
        yield


# --- reads and answers


def read_once_only() -> AbstractContextManager[None]:
    async def read(self: Database, statement: Statement[Any, Any], parameters: Any) -> list[Any]:
        try:
            return await self._read_once(statement, parameters)
        except TryAgain as error:
            raise DatabaseUnavailable from error

    return patched(Database, "_read", read)


def answer_internal() -> AbstractContextManager[None]:
    return patched(RegistrationSaga, "deadline", Deadline(seconds=5.0, error=Internal))


def refuse_without_keeping() -> AbstractContextManager[None]:
    return patched(PhoneTaken, "code", grpc.StatusCode.INVALID_ARGUMENT)


# --- what is left


def leave_the_wallet() -> AbstractContextManager[None]:
    async def close(*_: object, **__: object) -> list[Fact]:
        return []

    return patched(wallets, "close", close)


def leave_the_key() -> AbstractContextManager[None]:
    async def free(tx: Transaction, saga_id: UUID) -> None:
        """Forget to."""

    return patched(idempotency, "free", free)


def note_before_it_is_final() -> AbstractContextManager[None]:
    async def note(tx: Transaction, user_id: UUID, saga_id: UUID) -> None:
        await log.conclude(tx, saga_id, Event.USER_CREATED, user_id=user_id)

    return _after_insertion(note)


@dataclass(frozen=True, slots=True)
class _Mail:
    mail_id: UUID


_MAIL = Statement(
    text(
        "INSERT INTO outbox (id, sealed, expire_time)"
        " VALUES (:mail_id, ''::bytea, saga_now() + interval '1 day')"
    ),
    _Mail,
    NoRow,
)


def mail_before_it_is_final() -> AbstractContextManager[None]:
    async def mail(tx: Transaction, user_id: UUID, saga_id: UUID) -> None:
        await tx.execute(_MAIL, _Mail(new_id()))

    return _after_insertion(mail)


def tell_before_it_is_final() -> AbstractContextManager[None]:
    async def told(tx: Transaction, user_id: UUID, saga_id: UUID) -> None:
        fact = events.user_registered(user_id, role=Role.STUDENT, email_verified=False)
        await tell(tx, fact, saga_id=saga_id)

    return _after_insertion(told)


@contextmanager
def tell_of_stock_before_it_is_final() -> Iterator[None]:
    original = checkouts.place

    async def place(tx: Transaction, *, items: Sequence[OrderItem], **rest: Any) -> list[OrderLine]:
        lines = await original(tx, items=items, **rest)
        sold = await products.get_many(tx, [each.product_id for each in items])
        changes = {key: StockChange(1, product.stock) for key, product in sold.items()}
        await tell(tx, *await stock_facts(tx, changes))
        return lines

    async def nothing_reserved(*_: object) -> set[UUID]:
        return set()

    with (
        patched(checkouts, "place", place),
        patched(stock, "reserved", nothing_reserved),
        tell_nothing_of_stock(),
    ):
        yield


def tell_nothing_of_stock() -> AbstractContextManager[None]:
    async def nothing(*_: object) -> list[Fact]:
        return []

    return patched(checkout, "stock_facts", nothing)


@contextmanager
def tell_after_the_commit() -> Iterator[None]:
    waiting: dict[UUID, Fact] = {}
    original = SagaStateMachine._complete

    async def wait(tx: Transaction, fact: Fact, *, saga_id: UUID) -> None:
        waiting[saga_id] = fact

    async def complete(
        self: SagaStateMachine, saga: Saga, kind: Any, work: Any, database: Database
    ) -> Saga:
        ended = await original(self, saga, kind, work, database)
        if (fact := waiting.pop(saga.id, None)) is not None:
            await database.transact("event", lambda tx: tell(tx, fact, saga_id=saga.id))
        return ended

    with patched(registration, "tell", wait), patched(SagaStateMachine, "_complete", complete):
        yield


def _after_insertion(also: Any) -> AbstractContextManager[None]:
    original = users.insert_pending

    async def insert(tx: Transaction, *, user_id: UUID, saga_id: UUID, **rest: Any) -> bool:
        is_new = await original(tx, user_id=user_id, saga_id=saga_id, **rest)
        if is_new:
            await also(tx, user_id, saga_id)
        return is_new

    return patched(users, "insert_pending", insert)
