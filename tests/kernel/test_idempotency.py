from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

import psycopg
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from pydantic import TypeAdapter
from sqlalchemy import select

from services.kernel.db.database import Database, Transaction
from services.kernel.db.statement import NoParameters, Statement
from services.kernel.db.tables import IDEMPOTENCY
from services.kernel.errors import (
    CommitUnknown,
    DatabaseUnavailable,
    DeadlineExceeded,
    DomainError,
    EtagMismatch,
    Forbidden,
    IdempotencyKeyReused,
    IllegalState,
    Internal,
    InvalidField,
    RecordedError,
    TooManyRequests,
    Violation,
)
from services.kernel.ids import new_id
from services.kernel.rpc.call import Call, Method, ServicePrincipal, UserPrincipal
from services.kernel.sagas import idempotency
from services.kernel.sagas.idempotency import EarlierRequest, RequestKey, RequestKeys
from services.kernel.sagas.requests import transact_once
from services.kernel.secret import Secret
from tests.kernel.probe import SERVICE


@dataclass(frozen=True, slots=True)
class Kept:
    """What is looked at of a key that is kept."""

    key_hmac: bytes


ALL = Statement(select(IDEMPOTENCY.c.key_hmac), NoParameters, Kept)


@dataclass(frozen=True)
class Receipt:
    """What a transaction answers: everything that JSON has no word for."""

    id: UUID
    moment: datetime
    lines: tuple[str, ...]


RECEIPTS = TypeAdapter(Receipt)


@dataclass
class Work:
    """Counts how often it runs, and fails as told."""

    error: DomainError | None = None
    runs: list[Receipt] = field(default_factory=list)

    async def __call__(self, tx: Transaction) -> Receipt:
        receipt = Receipt(id=new_id(), moment=datetime.now(UTC), lines=("a", "b"))
        self.runs.append(receipt)
        if self.error is not None:
            raise self.error
        return receipt


def key(name: bytes = b"k", *, request: bytes = b"r", scope: str = "anonymous") -> RequestKey:
    return RequestKey(scope=scope, method="Open", key_hmac=name, fingerprint=request)


async def once(database: Database, work: Work, request: RequestKey | None = None) -> Receipt:
    return await transact_once(database, "test", request or key(), work, RECEIPTS)


async def count(database: Database) -> int:
    return len(await database.all(ALL, NoParameters()))


async def test_the_same_key_and_request_get_the_same_answer(database: Database) -> None:
    work = Work()
    first, second = await once(database, work), await once(database, work)
    assert first == second == work.runs[0]
    assert len(work.runs) == 1


async def test_an_answer_of_nothing_is_an_answer(database: Database) -> None:
    runs = []

    async def work(tx: Transaction) -> None:
        runs.append(1)

    for _ in range(2):
        await transact_once(database, "test", key(), work, TypeAdapter(type(None)))
    assert runs == [1]


async def test_without_a_key_it_just_runs(database: Database) -> None:
    work = Work()
    for _ in range(2):
        await transact_once(database, "test", None, work, RECEIPTS)
    assert len(work.runs) == 2
    assert await count(database) == 0


async def test_another_request_with_the_same_key_is_refused(database: Database) -> None:
    work = Work()
    await once(database, work)
    with pytest.raises(IdempotencyKeyReused):
        await once(database, work, key(request=b"other"))
    assert len(work.runs) == 1


@pytest.mark.parametrize(
    "other",
    [
        key(b"another"),
        key(scope="user:1"),
        RequestKey(scope="anonymous", method="Other", key_hmac=b"k", fingerprint=b"r"),
    ],
)
async def test_a_key_belongs_to_its_caller_and_method(
    database: Database, other: RequestKey
) -> None:
    work = Work()
    await once(database, work)
    await once(database, work, other)
    assert len(work.runs) == 2


@pytest.mark.parametrize("error", [IllegalState("Sold out."), Forbidden(metadata={"a": "b"})])
async def test_a_refusal_is_kept(database: Database, error: DomainError) -> None:
    work = Work(error)
    with pytest.raises(type(error)):
        await once(database, work)
    work.error = None
    with pytest.raises(RecordedError) as caught:
        await once(database, work)
    assert caught.value.record() == error.record()
    assert len(work.runs) == 1


@pytest.mark.parametrize(
    "error",
    [
        InvalidField(Violation("a", "is bad")),
        DatabaseUnavailable(),
        CommitUnknown(),
        DeadlineExceeded(),
        TooManyRequests(),
        EtagMismatch(),
        Internal(),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_what_may_pass_is_not_kept(database: Database, error: DomainError) -> None:
    work = Work(error)
    with pytest.raises(type(error)):
        await once(database, work)
    assert await count(database) == 0
    work.error = None
    assert await once(database, work) == work.runs[1]


async def test_an_unexpected_error_is_not_kept(database: Database) -> None:
    async def work(tx: Transaction) -> Receipt:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await transact_once(database, "test", key(), work, RECEIPTS)
    assert await count(database) == 0


async def test_two_at_once_run_once(database: Database) -> None:
    work = Work()
    answers = await asyncio.gather(*(once(database, work) for _ in range(8)))
    assert answers == [answers[0]] * 8
    assert len(work.runs) == 1


async def test_two_at_once_are_refused_alike(database: Database) -> None:
    work = Work(IllegalState("Sold out."))
    answers = await asyncio.gather(
        *(once(database, work) for _ in range(8)), return_exceptions=True
    )
    assert {getattr(answer, "reason", None) for answer in answers} == {"ILLEGAL_STATE"}
    assert await count(database) == 1


async def test_one_that_is_refused_while_the_other_goes_through_gets_its_answer(
    kernel_url: str, database: Database
) -> None:
    answers = []

    async def let_the_other_go_first(edge: str) -> None:
        if edge == "kernel.Open.refusal.statement#1":
            answers.append(await once(database, Work()))

    slow = Database(kernel_url, name="kernel", connections=1, observer=let_the_other_go_first)
    await slow.open()
    answers.append(await once(slow, Work(IllegalState("Sold out."))))
    await slow.close()
    assert answers == [answers[0]] * 2


async def test_a_key_is_good_for_another_request_after_a_day(
    database: Database, tomorrow: Database
) -> None:
    work = Work()
    await once(database, work)
    again = await once(tomorrow, work, key(request=b"other"))
    assert again == work.runs[1]
    assert await once(tomorrow, work, key(request=b"other")) == again


async def test_an_expired_answer_is_not_found(database: Database, tomorrow: Database) -> None:
    await once(database, Work())
    assert await idempotency.find(database, key()) is not None
    assert await idempotency.find(tomorrow, key()) is None


async def test_a_key_that_expires_while_it_is_looked_up_is_kept_or_taken_never_lost(
    kernel_url: str, database: Database
) -> None:
    """The clock moves between two statements: what was found alive must be answered."""
    first = await once(database, Work())
    async with await psycopg.AsyncConnection.connect(kernel_url, autocommit=True) as observer:

        async def wait(edge: str) -> None:
            if edge.endswith("statement#2"):
                expired = False
                while not expired:
                    cursor = await observer.execute(
                        "SELECT expire_time < saga_now() FROM idempotency"
                    )
                    [expired] = await cursor.fetchone() or [True]

        slow = Database(kernel_url, name="kernel", connections=1, observer=wait)
        await slow.open()
        work = Work()
        # The first look needs milliseconds, and must find it alive on a busy machine, too.
        await observer.execute("UPDATE idempotency SET expire_time = saga_now() + interval '1 s'")
        answer = await once(slow, work)
        await slow.close()
    assert answer == first
    assert work.runs == []


async def test_a_sagas_key_names_the_saga_until_it_is_freed(database: Database) -> None:
    saga_id = new_id()

    async def claim(tx: Transaction) -> EarlierRequest | None:
        return await idempotency.claim(tx, key(), saga_id=saga_id)

    async def free(tx: Transaction) -> None:
        await idempotency.free(tx, saga_id)

    assert await database.transact("claim", claim) is None
    assert await database.transact("claim", claim) == EarlierRequest(saga_id)
    assert await idempotency.find(database, key()) == EarlierRequest(saga_id)
    await database.transact("free", free)
    assert await idempotency.find(database, key()) is None


def call(value: str | None = None, *, text: str = "r") -> Call:
    method = Method.of(SERVICE.methods_by_name["Open"])
    metadata = {} if value is None else {"idempotency-key": value}
    message = StringValue(value=text).SerializeToString()
    return Call(method=method, metadata=metadata, message=message)


KEYS = RequestKeys(Secret.of(b"secret"))


def test_a_call_without_a_key_has_none() -> None:
    assert KEYS.of(call()) is None


def test_a_method_that_takes_no_key_ignores_one() -> None:
    made = call("k")
    made.method = Method.of(SERVICE.methods_by_name["Own"])
    assert KEYS.of(made) is None


@pytest.mark.parametrize("value", ["", "x" * 256, "a\tb", "naïve"])
def test_a_key_is_1_to_255_printable_characters(value: str) -> None:
    with pytest.raises(InvalidField) as caught:
        KEYS.of(call(value))
    assert caught.value.violations[0].field == "idempotency-key"


@pytest.mark.parametrize("value", ["x", " ", "x" * 255])
def test_a_good_key_is_taken(value: str) -> None:
    assert KEYS.of(call(value)) is not None


def test_a_key_names_caller_method_and_request() -> None:
    made = call("k")
    assert KEYS.of(made) == KEYS.of(call("k"))
    user = call("k")
    user.principal = UserPrincipal(id=new_id(), session_id=new_id(), role="customer")
    service = call("k")
    service.principal = ServicePrincipal("auth")
    scopes = {found.scope for each in (made, user, service) if (found := KEYS.of(each))}
    assert scopes == {"anonymous", f"user:{user.principal.id}", "service:auth"}


def test_neither_key_nor_request_is_in_what_is_stored() -> None:
    found = KEYS.of(call("hunter2", text="hunter2"))
    assert found is not None
    assert b"hunter2" not in found.key_hmac + found.fingerprint
    other = RequestKeys(Secret.of(b"other secret")).of(call("hunter2", text="hunter2"))
    assert other is not None
    assert other.key_hmac != found.key_hmac


OLD, NEW = b"o" * 32, b"n" * 32
REPLICAS = {
    "knows the old secret": RequestKeys(Secret.of(OLD)),
    "knows both": RequestKeys(Secret.of(NEW, OLD)),
    "knows the new secret": RequestKeys(Secret.of(NEW)),
}
ROLLING = [
    (first, second)
    for first in REPLICAS
    for second in REPLICAS
    if {"knows the old secret", "knows the new secret"} != {first, second}
]


@pytest.mark.parametrize(("first", "second"), ROLLING)
async def test_while_a_secret_is_replaced_a_repeat_is_known_at_every_replica(
    database: Database, first: str, second: str
) -> None:
    work = Work()
    one, two = REPLICAS[first].of(call("k")), REPLICAS[second].of(call("k"))
    assert await once(database, work, one) == await once(database, work, two)
    with pytest.raises(IdempotencyKeyReused):
        await once(database, work, REPLICAS[second].of(call("k", text="other")))
    assert len(work.runs) == 1


@pytest.mark.parametrize(("first", "second"), ROLLING)
async def test_while_a_secret_is_replaced_of_two_copies_at_once_one_runs(
    database: Database, first: str, second: str
) -> None:
    work = Work()
    keys = [
        REPLICAS[each].of(call(f"k{number}")) for number in range(10) for each in (first, second)
    ]
    answers = await asyncio.gather(*(once(database, work, each) for each in keys))
    assert answers[::2] == answers[1::2]
    assert len(work.runs) == 10


async def test_a_name_that_was_taken_in_vain_is_given_back(database: Database) -> None:
    """A replica that dropped the old key was faster, between the look and the claim."""
    both, new = REPLICAS["knows both"].of(call("k")), REPLICAS["knows the new secret"].of(call("k"))
    assert both is not None
    assert new is not None
    receipt = await once(database, Work(), new)

    earlier = await database.transact("claim", lambda tx: idempotency.claim(tx, both))

    assert earlier is not None
    assert RECEIPTS.validate_python(earlier.reply) == receipt
    assert await count(database) == 1


@pytest.mark.parametrize("column", ["reply", "error"])
async def test_a_spoilt_answer_is_an_unexpected_failure_that_quotes_nothing(
    kernel_url: str, database: Database, capsys: pytest.CaptureFixture[str], column: str
) -> None:
    work = Work()
    await once(database, work)
    async with await psycopg.AsyncConnection.connect(kernel_url, autocommit=True) as connection:
        await connection.execute(
            f"UPDATE idempotency SET {column} = %s".encode(), ('{"code": "unreadable-value"}',)
        )
    with pytest.raises(DomainError) as caught:
        await once(database, work)
    assert caught.value.reason == "INTERNAL"
    assert len(work.runs) == 1
    logged = "".join(capsys.readouterr())
    assert "is malformed" in logged
    assert "unreadable-value" not in logged
