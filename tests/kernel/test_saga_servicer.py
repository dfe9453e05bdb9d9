from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import grpc
import psycopg
import pydantic
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from lockstep.saga.v1 import saga_service_pb2 as saga_pb
from lockstep.saga.v1 import saga_service_pb2_grpc as saga_grpc
from lockstep_clients import LockstepError, ServiceIdentity, connect

from services.kernel.db.database import Database, Transaction
from services.kernel.errors import IllegalState
from services.kernel.ids import new_id
from services.kernel.paging import PageTokens
from services.kernel.rpc.access import Access
from services.kernel.rpc.server import Server
from services.kernel.sagas.model import STORED, Nothing, SagaKind
from services.kernel.sagas.servicer import SagaServicer
from services.kernel.sagas.store import insert_saga
from services.kernel.secret import Secret
from tests.kernel.probe import KnownKeys, KnownSessions
from tests.kernel.rows import database_probe


@pydantic.dataclasses.dataclass(frozen=True, slots=True, config=STORED)
class Contact:
    """What the sagas know."""

    email: str


@dataclass
class World:
    """A coordinator's sagas, and an operator who looks at them."""

    database: Database
    stub: saga_grpc.SagaServiceAsyncStub
    url: str

    async def begin(
        self, state: str = "RUNNING", *, kind: str = "thing", deadline: float | None = 5.0
    ) -> UUID:
        sagas = SagaKind(kind, Contact, Nothing, version=1)
        new = sagas.new(Contact("hunter2@example.com"), user_id=new_id())

        async def insert(tx: Transaction) -> None:
            await insert_saga(tx, new, owner="test", lease_seconds=10.0, deadline_seconds=deadline)

        await self.database.transact("insert", insert)
        await self.change(new.id, state=state)
        return new.id

    async def change(self, saga_id: UUID, **values: Any) -> None:
        async with await psycopg.AsyncConnection.connect(self.url, autocommit=True) as connection:
            for name, value in values.items():
                statement = f"UPDATE sagas SET {name} = %s WHERE id = %s"
                await connection.execute(statement.encode(), (value, saga_id))

    async def page(self, **request: Any) -> saga_pb.ListSagasResponse:
        return await self.stub.ListSagas(saga_pb.ListSagasRequest(**request))

    async def ids(self, **request: Any) -> list[str]:
        return [saga.id for saga in (await self.page(**request)).sagas]


@pytest.fixture
async def w(database: Database, kernel_url: str) -> AsyncIterator[World]:
    key = ec.generate_private_key(ec.SECP256R1())
    access = Access(
        service="auth",
        keys=KnownKeys({}),
        sessions=KnownSessions(),
        trusted={"operator": key.public_key()},
        proxies=(),
    )
    servicer = SagaServicer(database, PageTokens(Secret.of(b"secret")))
    service = saga_pb.DESCRIPTOR.services_by_name["SagaService"]
    server = Server([(service, servicer)], access=access, probe=database_probe(database))
    port = await server.start("127.0.0.1:0")
    identity = ServiceIdentity("operator", key)
    async with connect(f"127.0.0.1:{port}", identity=identity, audience="auth") as channel:
        yield World(database, saga_grpc.SagaServiceStub(channel), kernel_url)
    await server.stop(0)


async def test_sagas_are_listed_newest_first(w: World) -> None:
    made = [str(await w.begin()) for _ in range(3)]
    assert await w.ids() == made[::-1]


async def test_a_list_is_filtered_by_state_kind_and_whether_it_is_parked(w: World) -> None:
    running = str(await w.begin())
    done = str(await w.begin("DONE", kind="other"))
    parked = await w.begin("COMPENSATING", kind="other")
    await w.change(parked, parked_at="2026-01-01T00:00:00Z")
    assert await w.ids(state=saga_pb.SAGA_STATE_RUNNING) == [running]
    assert await w.ids(state=saga_pb.SAGA_STATE_COMPENSATING) == [str(parked)]
    assert await w.ids(kind="other") == [str(parked), done]
    assert await w.ids(kind="other", state=saga_pb.SAGA_STATE_DONE) == [done]
    assert await w.ids(parked=True) == [str(parked)]
    assert await w.ids(kind="nothing") == []


@pytest.mark.parametrize("size", [1, 2, 3, 5])
async def test_pages_hold_every_saga_once(w: World, size: int) -> None:
    made = [str(await w.begin()) for _ in range(5)]
    await w.begin(kind="other")
    found, token = list[str](), ""
    while True:
        page = await w.page(kind="thing", page_size=size, page_token=token)
        assert len(page.sagas) <= size
        found.extend(saga.id for saga in page.sagas)
        token = page.next_page_token
        if not token:
            break
    assert found == made[::-1]


async def test_a_page_token_is_good_for_its_own_list_only(w: World) -> None:
    for _ in range(2):
        await w.begin()
    token = (await w.page(page_size=1)).next_page_token
    for other in ({"kind": "thing"}, {"parked": True}, {"state": saga_pb.SAGA_STATE_DONE}):
        with pytest.raises(LockstepError) as caught:
            await w.page(page_size=1, page_token=token, **other)
        assert caught.value.reason == "INVALID_FIELD"


@pytest.mark.parametrize(
    ("request_fields", "field"),
    [
        ({"page_size": -1}, "page_size"),
        ({"page_token": "rubbish"}, "page_token"),
        ({"kind": "a\0b"}, "kind"),
        ({"kind": "x" * 101}, "kind"),
        ({"state": 99}, "state"),
        ({"state": -1}, "state"),
    ],
)
async def test_a_wrong_list_request_is_named(
    w: World, request_fields: dict[str, Any], field: str
) -> None:
    with pytest.raises(LockstepError) as caught:
        await w.page(**request_fields)
    assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT
    assert [v.field for v in caught.value.violations] == [field]


async def test_a_saga_is_shown_without_what_its_steps_carry(w: World) -> None:
    saga_id = await w.begin()
    saga = await w.stub.GetSaga(saga_pb.GetSagaRequest(saga_id=str(saga_id)))
    assert (saga.id, saga.kind, saga.state) == (str(saga_id), "thing", saga_pb.SAGA_STATE_RUNNING)
    assert (saga.attempts, saga.reason, saga.last_error, saga.parked) == (1, "", "", False)
    assert saga.HasField("next_run_time")
    left = saga.deadline_time.ToDatetime() - saga.create_time.ToDatetime()
    assert left.total_seconds() == pytest.approx(5.0, abs=0.5)
    assert "hunter2" not in str(saga)


async def test_a_saga_without_a_deadline_shows_none(w: World) -> None:
    saga_id = await w.begin(deadline=None)
    saga = await w.stub.GetSaga(saga_pb.GetSagaRequest(saga_id=str(saga_id)))
    assert not saga.HasField("deadline_time")


async def test_a_failed_saga_says_why_and_that_nothing_will_run(w: World) -> None:
    saga_id = await w.begin("ABORTED")
    await w.change(
        saga_id,
        error=psycopg.types.json.Jsonb(IllegalState().record().to_json()),
        last_error="Lost",
        user_id=None,
    )
    saga = await w.stub.GetSaga(saga_pb.GetSagaRequest(saga_id=str(saga_id)))
    assert (saga.reason, saga.last_error, saga.user_id) == ("ILLEGAL_STATE", "Lost", "")
    assert not saga.HasField("next_run_time")


async def test_a_retry_makes_a_parked_saga_due_now(w: World) -> None:
    saga_id = await w.begin("COMPENSATING")
    await w.change(saga_id, parked_at="2026-01-01T00:00:00Z", attempts=12)
    saga = await w.stub.RetrySaga(saga_pb.RetrySagaRequest(saga_id=str(saga_id)))
    assert (saga.parked, saga.attempts) == (False, 0)
    assert saga.next_run_time.ToDatetime() <= saga.update_time.ToDatetime()


@pytest.mark.parametrize("state", ["DONE", "ABORTED"])
async def test_what_has_ended_cannot_be_retried(w: World, state: str) -> None:
    saga_id = await w.begin(state)
    with pytest.raises(LockstepError) as caught:
        await w.stub.RetrySaga(saga_pb.RetrySagaRequest(saga_id=str(saga_id)))
    assert caught.value.code is grpc.StatusCode.FAILED_PRECONDITION
    assert caught.value.reason == "ILLEGAL_STATE"


@pytest.mark.parametrize("state", ["RUNNING", "COMPENSATING", "DONE", "ABORTED"])
async def test_the_outcome_is_the_state(w: World, state: str) -> None:
    request = saga_pb.GetSagaOutcomeRequest(saga_id=str(await w.begin(state)))
    outcome = await w.stub.GetSagaOutcome(request)
    assert saga_pb.SagaState.Name(outcome.state) == f"SAGA_STATE_{state}"


async def test_the_outcome_of_no_saga_is_unspecified(w: World) -> None:
    request = saga_pb.GetSagaOutcomeRequest(saga_id=str(new_id()))
    outcome = await w.stub.GetSagaOutcome(request)
    assert outcome.state == saga_pb.SAGA_STATE_UNSPECIFIED


async def test_no_saga_is_not_found(w: World) -> None:
    saga_id = str(new_id())
    for call in (
        w.stub.GetSaga(saga_pb.GetSagaRequest(saga_id=saga_id)),
        w.stub.RetrySaga(saga_pb.RetrySagaRequest(saga_id=saga_id)),
    ):
        with pytest.raises(LockstepError) as caught:
            await call
        assert (caught.value.code, caught.value.reason) == (
            grpc.StatusCode.NOT_FOUND,
            "SAGA_NOT_FOUND",
        )


async def test_what_is_no_id_is_named(w: World) -> None:
    for call in (
        w.stub.GetSaga(saga_pb.GetSagaRequest(saga_id="x")),
        w.stub.RetrySaga(saga_pb.RetrySagaRequest()),
        w.stub.GetSagaOutcome(saga_pb.GetSagaOutcomeRequest(saga_id="\0")),
    ):
        with pytest.raises(LockstepError) as caught:
            await call
        assert [v.field for v in caught.value.violations] == ["saga_id"]
