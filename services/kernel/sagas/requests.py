"""The same request again gets the same answer.

A dedup key says what makes two requests the same one: an idempotency key, a mailed code, a
row. A request that has an effect takes its key in the commit of that effect. A request that is
refused keeps the refusal with its key, in a commit of its own, if `ErrorRecord.is_kept`.
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
from services.kernel.sagas.idempotency import Earlier, RequestKey
from services.kernel.sagas.model import NewSaga, Outcome, P, R, SagaKind
from services.kernel.sagas.protocol import DedupKey

T = TypeVar("T")

# They speak of one try alone, whatever became of its copies.
_OF_ONE_TRY = (DeadlineExceeded, DatabaseUnavailable)


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """The key that the caller has named the request with, if any.

    Attributes:
        unknown: What the caller is told when the first saga was cleaned up.
    """

    request: RequestKey | None
    unknown: type[DomainError] = RequestInProgress

    async def find(self, reader: Reader) -> Earlier | None:
        """Return what is kept with the key."""
        return None if self.request is None else await idempotency.find(reader, self.request)

    async def take(self, tx: Transaction, saga_id: UUID) -> Earlier | None:
        """Have the key name the saga."""
        if self.request is None:
            return None
        return await idempotency.claim(tx, self.request, saga_id=saga_id)

    async def keep(self, database: Database, error: DomainError) -> Earlier | None:
        """Keep the refusal for as long as a saga's outcome would be."""
        key, record = self.request, error.record()
        if key is None or not record.is_kept:
            return await self.find(database)

        async def work(tx: Transaction) -> Earlier | None:
            earlier = await idempotency.claim(tx, key)
            if earlier is None:
                await idempotency.store_refusal(tx, key, record)
            return earlier

        return await database.transact(f"{key.method}.refusal", work)

    async def gone(self, reader: Reader) -> NoReturn:  # noqa: ARG002 - the key knows no more
        """Refuse: nobody knows the answer any more."""
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
            key: What makes two requests the same one.
            prepare: Checks the rules and makes the saga; a repeat does not pay for it.

        Raises:
            DomainError: The request is refused, or was.
            DeadlineExceeded: Nobody knows yet; a repeat tells.
            RequestInProgress: The same, of a repeat.
        """
        found = await key.find(self.database) or await self._begin(key, prepare)
        outcome = await self._follow(kind, found) if isinstance(found, Earlier) else found
        return await key.gone(self.database) if outcome.is_forgotten else outcome.unwrap()

    async def _begin(
        self, key: DedupKey[R], prepare: Callable[[], Awaitable[NewSaga[P, R]]]
    ) -> Outcome[R] | Earlier:
        try:
            return await self.engine.run(await prepare(), key)
        except _OF_ONE_TRY:
            raise
        except DomainError as error:
            earlier = await key.keep(self.database, error)
            if earlier is None:
                raise
            return earlier

    async def _follow(self, kind: SagaKind[P, R], earlier: Earlier) -> Outcome[R]:
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
) -> T:
    """Run a transaction once for each key; a repeat gets the first answer.

    Args:
        database: Where to run it.
        name: The transaction's name.
        key: The request's key; without one the transaction just runs.
        work: The transaction.
        codec: Turns its result into JSON and back.

    Raises:
        IdempotencyKeyReused: The key belongs to another request.
    """
    if key is None:
        return await database.transact(name, work)

    async def body(tx: Transaction) -> T | Earlier:
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
    return _replayed(done, codec) if isinstance(done, Earlier) else done


def _replayed(earlier: Earlier, codec: TypeAdapter[T]) -> T:
    if earlier.error is not None:
        raise RecordedError(earlier.error)
    return codec.validate_python(earlier.reply)
