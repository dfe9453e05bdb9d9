"""Repeated requests: the same request gets the same answer again.

A dedup key makes two requests the same one: an idempotency key, a mailed code or a row. A
request that has an effect takes its key in the commit of that effect. A refusal that does not
pass is kept with its idempotency key, in a commit of its own (see `ErrorRecord.is_kept`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NoReturn, TypeVar
from uuid import UUID

from pydantic import TypeAdapter

from services.kernel.db.database import Database, Reader, Transaction
from services.kernel.errors import (
    DatabaseUnavailable,
    DeadlineExceeded,
    DomainError,
    RecordedError,
    RequestInProgress,
    SagaNotFound,
)
from services.kernel.sagas import idempotency
from services.kernel.sagas.engine import SagaEngine
from services.kernel.sagas.idempotency import EarlierRequest, RequestKey
from services.kernel.sagas.model import NewSaga, Outcome, P, R, SagaKind, read_stored
from services.kernel.sagas.protocol import DedupKey

T = TypeVar("T")

# They tell about one try alone. A copy of the request may have had its effect.
_OF_ONE_TRY = (DeadlineExceeded, DatabaseUnavailable)


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """The caller's own name for the request, if there is one.

    Attributes:
        unknown: The error for a caller whose first saga was cleaned up.
    """

    request: RequestKey | None
    unknown: type[DomainError] = RequestInProgress

    async def find(self, reader: Reader) -> EarlierRequest | None:
        """Return the earlier request with this key."""
        return None if self.request is None else await idempotency.find(reader, self.request)

    async def take(self, tx: Transaction, saga_id: UUID) -> EarlierRequest | None:
        """Let the key name the saga."""
        if self.request is None:
            return None
        return await idempotency.claim(tx, self.request, saga_id=saga_id)

    async def keep(self, database: Database, error: DomainError) -> EarlierRequest | None:
        """Keep a refusal that does not pass, for as long as a saga would be."""
        key, record = self.request, error.record()
        if key is None or not record.is_kept:
            return await self.find(database)

        async def work(tx: Transaction) -> EarlierRequest | None:
            earlier = await idempotency.claim(tx, key)
            if earlier is None:
                await idempotency.store_refusal(tx, key, record)
            return earlier

        return await database.transact(f"{key.method}.refusal", work)

    async def gone(self, reader: Reader) -> NoReturn:  # noqa: ARG002 - the key knows no more
        """Refuse, because the answer is lost."""
        raise self.unknown


@dataclass(frozen=True, slots=True)
class Requests:
    """Runs the sagas of requests, one for each dedup key."""

    database: Database
    engine: SagaEngine

    async def run_once(
        self,
        kind: SagaKind[P, R],
        key: DedupKey[R],
        prepare: Callable[[], Awaitable[NewSaga[P, R]]],
    ) -> R:
        """Run a saga and return its result; a repeat of the request gets the first answer.

        Args:
            kind: The kind of the saga, and of all others that the key can name.
            key: The dedup key of the request.
            prepare: Checks the rules and makes the saga; a repeat does not pay for it.

        Raises:
            DomainError: The request is refused now, or was refused before.
            DeadlineExceeded: The outcome is not known yet; a repeat gets it.
            RequestInProgress: The same, for a repeat.
        """
        found = await key.find(self.database) or await self._begin(key, prepare)
        outcome = await self._follow(kind, found) if isinstance(found, EarlierRequest) else found
        return await key.gone(self.database) if outcome.is_forgotten else outcome.unwrap()

    async def _begin(
        self, key: DedupKey[R], prepare: Callable[[], Awaitable[NewSaga[P, R]]]
    ) -> Outcome[R] | EarlierRequest:
        try:
            return await self.engine.run(await prepare(), key)
        except _OF_ONE_TRY:
            raise
        except DomainError as error:
            earlier = await key.keep(self.database, error)
            if earlier is None:
                raise
            return earlier

    async def _follow(self, kind: SagaKind[P, R], earlier: EarlierRequest) -> Outcome[R]:
        if earlier.saga_id is None:
            return Outcome(error=earlier.error)
        try:
            return await self.engine.attach(kind, earlier.saga_id)
        except SagaNotFound:
            return Outcome()


async def transact_once(
    database: Database,
    name: str,
    key: RequestKey | None,
    work: Callable[[Transaction], Awaitable[T]],
    codec: TypeAdapter[T],
    *,
    lock: Callable[[Transaction], Awaitable[None]] | None = None,
) -> T:
    """Run a transaction once for each key; a repeat gets the first answer.

    Args:
        database: The database of the transaction.
        name: The transaction's name.
        key: The request's key; without one the transaction simply runs.
        work: The body of the transaction.
        codec: Turns its result into JSON and back.
        lock: Locks what comes before the key in the order of locks.

    Raises:
        IdempotencyKeyReused: The key belongs to another request.
    """

    async def body(tx: Transaction) -> T | EarlierRequest:
        if lock is not None:
            await lock(tx)
        if key is None:
            return await work(tx)
        earlier = await idempotency.claim(tx, key)
        if earlier is not None:
            return earlier
        result = await work(tx)
        await idempotency.store_reply(tx, key, codec.dump_python(result, mode="json"))
        return result

    try:
        done = await database.transact(name, body)
    except _OF_ONE_TRY:
        raise
    except DomainError as error:
        earlier = await IdempotencyKey(key).keep(database, error)
        if earlier is None:
            raise
        done = earlier
    return _replayed(done, codec) if isinstance(done, EarlierRequest) else done


def _replayed(earlier: EarlierRequest, codec: TypeAdapter[T]) -> T:
    if earlier.error is not None:
        raise RecordedError(earlier.error)
    return read_stored(codec, earlier.reply, "the answer of an idempotency key")
