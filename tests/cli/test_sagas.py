"""`lockstep sagas` asks the coordinators as the operator, and shows their answers."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from lockstep.saga.v1 import saga_service_pb2 as saga_pb
from lockstep.saga.v1 import saga_service_pb2_grpc as saga_grpc

from services.cli.system import COORDINATORS
from services.common.key_files import initialise
from services.common.keys import KeyRing
from tests.cli.conftest import Lockstep, check_operator, finish, listening

STUCK = saga_pb.Saga(
    id="0198a000-0000-7000-8000-000000000001",
    kind="registration",
    state=saga_pb.SAGA_STATE_COMPENSATING,
    attempts=12,
    reason="PROFILE_UNAVAILABLE",
    last_error="connection refused",
    parked=True,
    create_time=Timestamp(seconds=1_790_000_000),
    next_run_time=Timestamp(seconds=1_790_000_600),
)


class Coordinator(saga_grpc.SagaServiceServicer):
    """Knows one saga or none, and records its callers."""

    def __init__(self, name: str, sagas: list[saga_pb.Saga], keys: KeyRing) -> None:
        self.name = name
        self.sagas = sagas
        self.requests: list[object] = []
        self._keys = keys

    async def ListSagas(
        self, request: saga_pb.ListSagasRequest, context: Any
    ) -> saga_pb.ListSagasResponse:
        self._check(request, context)
        return saga_pb.ListSagasResponse(sagas=self.sagas)

    async def GetSaga(self, request: saga_pb.GetSagaRequest, context: Any) -> saga_pb.Saga:
        return await self._find(request, context)

    async def RetrySaga(self, request: saga_pb.RetrySagaRequest, context: Any) -> saga_pb.Saga:
        return await self._find(request, context)

    async def GetSagaOutcome(
        self, request: saga_pb.GetSagaOutcomeRequest, context: Any
    ) -> saga_pb.GetSagaOutcomeResponse:
        raise NotImplementedError

    async def _find(
        self, request: saga_pb.GetSagaRequest | saga_pb.RetrySagaRequest, context: Any
    ) -> saga_pb.Saga:
        self._check(request, context)
        found = [saga for saga in self.sagas if saga.id == request.saga_id]
        if not found:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such saga")
        return found[0]

    def _check(self, request: object, context: Any) -> None:
        check_operator(context, self.name, self._keys)
        self.requests.append(request)


@pytest.fixture
async def coordinators(
    home: Path, environment: dict[str, str]
) -> AsyncIterator[dict[str, Coordinator]]:
    """Serve Auth with a stuck saga and Commerce with none."""
    initialise(home / "keys")
    ring = KeyRing.load(home / "keys", "auth")
    known = {"auth": [STUCK], "commerce": list[saga_pb.Saga]()}
    found = {name: Coordinator(name, sagas, ring) for name, sagas in known.items()}
    servers = {name: grpc.aio.server() for name in found}
    for name, server in servers.items():
        saga_grpc.add_SagaServiceServicer_to_server(found[name], server)
    async with listening(servers, environment):
        yield found


async def run(lockstep: Lockstep, *arguments: str) -> tuple[int, str, str]:
    return await asyncio.to_thread(lambda: finish(lockstep("sagas", *arguments)))


async def test_sagas_of_every_coordinator_are_one_table(
    coordinators: dict[str, Coordinator], lockstep: Lockstep
) -> None:
    code, output, errors = await run(
        lockstep, "list", "--state", "compensating", "--kind", "registration", "--parked"
    )

    assert (code, errors) == (0, "")
    assert output.splitlines() == [
        f"auth\t{STUCK.id}\tregistration\tcompensating\ttrue\t12\tPROFILE_UNAVAILABLE\t2026-09-21T14:13:20.000Z\t2026-09-21T14:23:20.000Z"
    ]
    assert set(coordinators) == set(COORDINATORS)
    assert coordinators["auth"].requests == [
        saga_pb.ListSagasRequest(
            state=saga_pb.SAGA_STATE_COMPENSATING, kind="registration", parked=True, page_size=20
        )
    ]


async def test_one_saga_is_shown_with_its_last_error(
    coordinators: dict[str, Coordinator], lockstep: Lockstep
) -> None:
    code, output, _ = await run(lockstep, "show", STUCK.id)

    assert code == 0
    assert "connection refused" in output
    assert "compensating" in output


async def test_a_stuck_saga_is_started_again(
    coordinators: dict[str, Coordinator], lockstep: Lockstep
) -> None:
    code, output, _ = await run(lockstep, "retry", STUCK.id)

    assert code == 0
    assert STUCK.id in output
    assert coordinators["auth"].requests == [saga_pb.RetrySagaRequest(saga_id=STUCK.id)]


async def test_what_goes_wrong_is_one_line(
    coordinators: dict[str, Coordinator], lockstep: Lockstep
) -> None:
    unknown = await run(lockstep, "show", "0198a000-0000-7000-8000-000000000009")
    misspelt = await run(lockstep, "list", "--state", "stuck")

    assert (unknown[0], unknown[2].count("\n")) == (1, 1)
    assert "no such saga in auth" in unknown[2]
    assert misspelt[2] == (
        "lockstep: there is no state stuck: use running, compensating, done, aborted\n"
    )


async def test_a_coordinator_that_does_not_answer_is_one_line(
    lockstep: Lockstep, home: Path
) -> None:
    initialise(home / "keys")

    code, _, errors = await run(lockstep, "list")

    assert (code, errors.count("\n")) == (1, 1)
    assert errors.startswith("lockstep: auth cannot be reached at 127.0.0.1:")


async def test_without_keys_the_remedy_is_named(lockstep: Lockstep) -> None:
    code, _, errors = await run(lockstep, "list")

    assert code == 1
    assert "run `lockstep keys init`" in errors
