"""A replica of Profile that leaves does not stand for all of Profile."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from lockstep.profile.v1 import profile_service_pb2_grpc as profile_grpc
from lockstep_clients import connect

from services.auth.errors import RegistrationUnavailable
from services.auth.sagas import profiles as profiles_module
from services.auth.sagas.profiles import RemoteProfiles

SERVING = health_pb2.HealthCheckResponse.SERVING
LEAVING = health_pb2.HealthCheckResponse.NOT_SERVING
SILENT = -1


class Health(health_pb2_grpc.HealthServicer):
    """Tells watchers that all is well; answers questions one after the other, the last for ever."""

    def __init__(self, answers: Sequence[int | None]) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def Check(self, request: health_pb2.HealthCheckRequest, context: Any) -> Any:
        answer = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        if answer == SILENT:
            await asyncio.Event().wait()
        if answer is None:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "gone")
        return health_pb2.HealthCheckResponse(status=answer)

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: Any) -> Any:
        yield health_pb2.HealthCheckResponse(status=SERVING)


@contextlib.asynccontextmanager
async def profile(health: Health) -> AsyncIterator[RemoteProfiles]:
    """Run the health service of a Profile, and return what asks it."""
    server = grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with connect(f"127.0.0.1:{port}") as channel:
        stub: Any = profile_grpc.ProfileServiceStub(channel)
        yield RemoteProfiles(stub, health_pb2_grpc.HealthStub(channel))
    await server.stop(0)


@pytest.mark.parametrize("first", [(LEAVING,), (LEAVING, LEAVING), (None,), (None, LEAVING)])
async def test_what_one_replica_says_while_it_leaves_is_asked_again(
    first: tuple[int | None, ...],
) -> None:
    health = Health([*first, SERVING])
    async with profile(health) as profiles:
        await profiles.ensure_serving()
    assert health.asked == len(first) + 1


@pytest.mark.parametrize("answer", [LEAVING, None])
async def test_nobody_registers_when_no_replica_can_work(answer: int | None) -> None:
    health = Health([answer])
    async with profile(health) as profiles:
        with pytest.raises(RegistrationUnavailable):
            await profiles.ensure_serving()
    assert health.asked == 4


async def test_a_profile_that_is_silent_is_left_when_the_time_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(profiles_module, "SERVING_SECONDS", 0.2)
    async with profile(Health([SILENT])) as profiles:
        with pytest.raises(RegistrationUnavailable):
            await profiles.ensure_serving()
