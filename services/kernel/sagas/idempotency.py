"""The same request again gets the same answer.

A caller names a request with the metadata `idempotency-key`. The key's row is
committed with the request's effect, so there is no moment at which one exists
without the other. Only HMACs are stored: neither key nor request can be read back.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

import grpc
from psycopg.types.json import Jsonb
from pydantic import TypeAdapter
from sqlalchemy import bindparam, delete, func, literal_column, select, update
from sqlalchemy.dialects.postgresql import insert

from services.kernel.db.database import Database, Reader, Transaction
from services.kernel.db.tables import IDEMPOTENCY as KEYS
from services.kernel.db.untyped import Untyped
from services.kernel.errors import (
    DomainError,
    IdempotencyKeyReused,
    InvalidField,
    RecordedError,
    Violation,
)
from services.kernel.rpc.call import Call

T = TypeVar("T")

_PRINTABLE = re.compile(r"[\x20-\x7e]{1,255}")
# What would be the same at any time is not worth keeping; what may pass must not be.
_NEVER_KEPT = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.INTERNAL,
}


@dataclass(frozen=True, slots=True)
class RequestKey:
    """Names a request of a caller."""

    scope: str
    method: str
    key_hmac: bytes
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class StoredOutcome:
    """What is known of an earlier request with the same key."""

    saga_id: UUID | None
    reply: Any
    error: dict[str, Any] | None


class RequestKeys:
    """Makes request keys.

    Args:
        secret: The key of the HMACs, the same for every replica.
    """

    def __init__(self, secret: bytes) -> None:
        """See the class."""
        self._secret = secret

    def of(self, call: Call) -> RequestKey | None:
        """Return the key of a call, or None when it has none.

        Raises:
            InvalidField: It is empty, too long or not printable ASCII.
        """
        key = call.metadata.get("idempotency-key")
        if key is None or not call.method.takes_idempotency_key:
            return None
        if not _PRINTABLE.fullmatch(key):
            raise InvalidField(
                Violation("idempotency-key", "must be 1 to 255 printable ASCII characters")
            )
        return RequestKey(
            scope=call.scope,
            method=call.method.name,
            key_hmac=self._hmac(key.encode()),
            fingerprint=self._hmac(call.message),
        )

    def _hmac(self, value: bytes) -> bytes:
        return hmac.digest(self._secret, value, hashlib.sha256)


_MATCHES = (
    (KEYS.c.scope == bindparam("scope"))
    & (KEYS.c.method == bindparam("method"))
    & (KEYS.c.key_hmac == bindparam("key_hmac"))
)
_INSERT = insert(KEYS).values(
    scope=bindparam("scope"),
    method=bindparam("method"),
    key_hmac=bindparam("key_hmac"),
    fingerprint=bindparam("fingerprint"),
    saga_id=bindparam("saga_id"),
    expire_time=func.saga_now() + literal_column("interval '24 hours'"),
)
_CLAIM = Untyped(
    _INSERT.on_conflict_do_update(
        constraint="pk_idempotency",
        set_={
            "fingerprint": _INSERT.excluded.fingerprint,
            "saga_id": _INSERT.excluded.saga_id,
            "reply": literal_column("NULL"),
            "error": literal_column("NULL"),
            "expire_time": _INSERT.excluded.expire_time,
        },
        where=KEYS.c.expire_time < func.saga_now(),
    ).returning(KEYS.c.scope)
)
_KEPT = select(KEYS.c.fingerprint, KEYS.c.saga_id, KEYS.c.reply, KEYS.c.error).where(_MATCHES)
_FIND = Untyped(_KEPT.where(KEYS.c.expire_time >= func.saga_now()))
# A claim that took nothing holds the row's lock: it was alive then, whatever the time is now.
_FIND_LOCKED = Untyped(_KEPT)
_STORE = Untyped(
    update(KEYS).where(_MATCHES).values(reply=bindparam("reply"), error=bindparam("error"))
)
_FREE = Untyped(delete(KEYS).where(KEYS.c.saga_id == bindparam("saga_id")))


async def claim(
    tx: Transaction, key: RequestKey, *, saga_id: UUID | None = None
) -> StoredOutcome | None:
    """Take a key for this request, or return what is kept of an earlier one.

    Waits while a request with the same key is being committed.

    Raises:
        IdempotencyKeyReused: The key belongs to another request.
    """
    taken = await tx.first(_CLAIM, **_named(key), fingerprint=key.fingerprint, saga_id=saga_id)
    return None if taken is not None else await _find(tx, _FIND_LOCKED, key)


async def find(reader: Reader, key: RequestKey) -> StoredOutcome | None:
    """Return what is kept of an earlier request with this key, if any.

    Raises:
        IdempotencyKeyReused: The key belongs to another request.
    """
    return await _find(reader, _FIND, key)


async def _find(reader: Reader, statement: Untyped, key: RequestKey) -> StoredOutcome | None:
    row = await reader.first(statement, **_named(key))
    if row is None:
        return None
    if not hmac.compare_digest(row.fingerprint, key.fingerprint):
        raise IdempotencyKeyReused
    return StoredOutcome(saga_id=row.saga_id, reply=row.reply, error=row.error)


async def free(tx: Transaction, saga_id: UUID) -> None:
    """Forget the key of a saga that ended because something was unavailable."""
    await tx.execute(_FREE, saga_id=saga_id)


async def once(
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

    async def body(tx: Transaction) -> T:
        kept = await claim(tx, key)
        if kept is not None:
            return _replayed(kept, codec)
        result = await work(tx)
        await _store(tx, key, reply=codec.dump_python(result, mode="json"))
        return result

    try:
        return await database.transact(name, body)
    except RecordedError:
        raise
    except DomainError as error:
        if (kept := await store_refusal(database, name, key, error)) is None:
            raise
        return _replayed(kept, codec)


async def store_refusal(
    database: Database, name: str, key: RequestKey | None, error: DomainError
) -> StoredOutcome | None:
    """Keep a business refusal for a key, so that a repeat gets the same answer.

    Does nothing without a key, nor for refusals that may pass.

    Returns:
        What is kept of a copy of the request that was faster; it is the answer, then.
    """
    if key is None or error.code in _NEVER_KEPT:
        return None

    async def body(tx: Transaction) -> StoredOutcome | None:
        kept = await claim(tx, key)
        if kept is None:
            await _store(tx, key, error=error.record())
        return kept

    return await database.transact(f"{name}.refusal", body)


def _replayed(kept: StoredOutcome, codec: TypeAdapter[T]) -> T:
    if kept.error is not None:
        raise RecordedError(kept.error)
    return codec.validate_python(kept.reply)


async def _store(
    tx: Transaction, key: RequestKey, *, reply: Any = None, error: dict[str, Any] | None = None
) -> None:
    await tx.execute(
        _STORE,
        **_named(key),
        reply=None if reply is None else Jsonb(reply),
        error=None if error is None else Jsonb(error),
    )


def _named(key: RequestKey) -> dict[str, Any]:
    return {"scope": key.scope, "method": key.method, "key_hmac": key.key_hmac}
