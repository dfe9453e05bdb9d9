"""Idempotency keys: a caller's names for its requests.

A caller names a request with the metadata `idempotency-key`. The key's row is
committed with the request's effect, so there is no moment at which one exists
without the other. Only HMACs are stored: neither key nor request can be read back.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from psycopg.types.json import Jsonb
from sqlalchemy import (
    ARRAY,
    LargeBinary,
    any_,
    bindparam,
    delete,
    func,
    literal_column,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from services.kernel.db.database import Reader, Transaction
from services.kernel.db.statement import NoRow, Statement
from services.kernel.db.tables import IDEMPOTENCY as KEYS
from services.kernel.errors import (
    ErrorRecord,
    IdempotencyKeyReused,
    InvalidField,
    Violation,
)
from services.kernel.rpc.call import Call
from services.kernel.sagas.store import BySaga
from services.kernel.secret import Secret

_PRINTABLE = re.compile(r"[\x20-\x7e]{1,255}")


@dataclass(frozen=True, slots=True)
class RequestKey:
    """Names a request of a caller.

    Attributes:
        key_hmac: The HMAC of the caller's name for it.
        fingerprint: The HMAC of the request.
        older: The same request by the secret before the one in use, if there is one. Replicas
            that do not know the new secret yet know it by that name.
    """

    scope: str
    method: str
    key_hmac: bytes
    fingerprint: bytes
    older: RequestKey | None = None

    @property
    def names(self) -> Sequence[RequestKey]:
        """All names of the request, the oldest first."""
        return [self] if self.older is None else [self.older, self]

    @property
    def key_hmacs(self) -> list[bytes]:
        """The HMACs by which its rows are found."""
        return [name.key_hmac for name in self.names]


@dataclass(frozen=True, slots=True)
class EarlierRequest:
    """An earlier request that counts as the same one, by its answer.

    Attributes:
        saga_id: The saga whose outcome is the answer.
        reply: The answer as JSON, if it needed no saga.
        error: The refusal, if no saga has begun.
    """

    saga_id: UUID | None = None
    reply: object = None
    error: ErrorRecord | None = None


class RequestKeys:
    """Makes request keys.

    Args:
        secret: The key of the HMACs, the same for every replica.
    """

    def __init__(self, secret: Secret) -> None:
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
        named: RequestKey | None = None
        digests = zip(
            self._secret.digests(key.encode()), self._secret.digests(call.message), strict=True
        )
        for key_hmac, fingerprint in reversed(list(digests)):
            named = RequestKey(call.scope, call.method.name, key_hmac, fingerprint, older=named)
        return named


@dataclass(frozen=True, slots=True)
class _ByKey:
    scope: str
    method: str
    key_hmacs: list[bytes]


@dataclass(frozen=True, slots=True)
class _KeyClaim:
    scope: str
    method: str
    key_hmac: bytes
    fingerprint: bytes
    saga_id: UUID | None


@dataclass(frozen=True, slots=True)
class _KeyAnswer(_ByKey):
    reply: Jsonb | None
    error: Jsonb | None


@dataclass(frozen=True, slots=True)
class _ClaimedRow:
    scope: str


@dataclass(frozen=True, slots=True)
class _KeyRow:
    fingerprint: bytes
    saga_id: UUID | None
    reply: object
    error: object


_MATCHES = (
    (KEYS.c.scope == bindparam("scope"))
    & (KEYS.c.method == bindparam("method"))
    & (KEYS.c.key_hmac == any_(bindparam("key_hmacs", type_=ARRAY(LargeBinary))))
)
_INSERT = insert(KEYS).values(
    scope=bindparam("scope"),
    method=bindparam("method"),
    key_hmac=bindparam("key_hmac"),
    fingerprint=bindparam("fingerprint"),
    saga_id=bindparam("saga_id"),
    expire_time=func.saga_now() + literal_column("interval '24 hours'"),
)
_CLAIM = Statement(
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
    ).returning(KEYS.c.scope),
    _KeyClaim,
    _ClaimedRow,
)
_KEPT = select(KEYS.c.fingerprint, KEYS.c.saga_id, KEYS.c.reply, KEYS.c.error).where(_MATCHES)
_FIND = Statement(_KEPT.where(KEYS.c.expire_time >= func.saga_now()), _ByKey, _KeyRow)
# ON CONFLICT locked the row: it had not expired. Do not check again: it may by now.
_FIND_LOCKED = Statement(_KEPT, _ByKey, _KeyRow)
_STORE = Statement(
    update(KEYS).where(_MATCHES).values(reply=bindparam("reply"), error=bindparam("error")),
    _KeyAnswer,
    NoRow,
)
_GIVE_BACK = Statement(delete(KEYS).where(_MATCHES), _ByKey, NoRow)
_FREE = Statement(delete(KEYS).where(KEYS.c.saga_id == bindparam("saga_id")), BySaga, NoRow)


async def claim(
    tx: Transaction, key: RequestKey, *, saga_id: UUID | None = None
) -> EarlierRequest | None:
    """Take a key for this request, or return the earlier request that has it.

    Wait while a request with the same key is being committed.

    Raises:
        IdempotencyKeyReused: The key belongs to another request.
    """
    taken: list[bytes] = []
    for name in key.names:  # the oldest first: every replica knows that one
        claim = _KeyClaim(name.scope, name.method, name.key_hmac, name.fingerprint, saga_id)
        if await tx.first(_CLAIM, claim) is None:
            if taken:  # a replica that no longer knows the older name was faster
                await tx.execute(_GIVE_BACK, _ByKey(key.scope, key.method, taken))
            return await _find(tx, _FIND_LOCKED, name)
        taken.append(name.key_hmac)
    return None


async def find(reader: Reader, key: RequestKey) -> EarlierRequest | None:
    """Return the earlier request that has a key, if there is one.

    Raises:
        IdempotencyKeyReused: The key belongs to another request.
    """
    return await _find(reader, _FIND, key)


async def _find(
    reader: Reader, statement: Statement[_ByKey, _KeyRow], key: RequestKey
) -> EarlierRequest | None:
    row = await reader.first(statement, _by(key))
    if row is None:
        return None
    if not any(hmac.compare_digest(row.fingerprint, name.fingerprint) for name in key.names):
        raise IdempotencyKeyReused
    error = None if row.error is None else ErrorRecord.from_json(row.error)
    return EarlierRequest(saga_id=row.saga_id, reply=row.reply, error=error)


async def store_reply(tx: Transaction, key: RequestKey, reply: object) -> None:
    """Keep an answer, as JSON, with a key that was claimed."""
    await tx.execute(_STORE, _answer(key, reply=Jsonb(reply)))


async def store_refusal(tx: Transaction, key: RequestKey, error: ErrorRecord) -> None:
    """Keep a refusal with a key that was claimed."""
    await tx.execute(_STORE, _answer(key, error=Jsonb(error.to_json())))


async def free(tx: Transaction, saga_id: UUID) -> None:
    """Forget the key that names a saga."""
    await tx.execute(_FREE, BySaga(saga_id))


def _by(key: RequestKey) -> _ByKey:
    return _ByKey(key.scope, key.method, key.key_hmacs)


def _answer(
    key: RequestKey, *, reply: Jsonb | None = None, error: Jsonb | None = None
) -> _KeyAnswer:
    return _KeyAnswer(key.scope, key.method, key.key_hmacs, reply, error)
