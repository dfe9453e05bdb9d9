from __future__ import annotations

from uuid import UUID

import grpc
import pytest
from lockstep.auth.v1.auth_service_pb2 import LoginRequest, RegisterRequest
from lockstep.auth.v1.auth_service_pb2_grpc import AuthServiceStub
from lockstep_clients import Unavailable, connect

from tests.clients.fake_server import FakeServer

KEY = (("idempotency-key", "mine"),)


async def test_each_creating_call_gets_a_key_of_its_own(server: FakeServer) -> None:
    async with connect(server.address) as channel:
        for _ in range(2):
            await AuthServiceStub(channel).Register(RegisterRequest())
    first, second = (UUID(str(call.metadata["idempotency-key"])) for call in server.calls)
    assert first != second


async def test_a_method_that_takes_no_key_gets_none(server: FakeServer) -> None:
    async with connect(server.address) as channel:
        await AuthServiceStub(channel).Login(LoginRequest())
    assert "idempotency-key" not in server.calls[0].metadata


async def test_a_caller_that_repeats_a_call_keeps_its_key(server: FakeServer) -> None:
    server.failures = [grpc.StatusCode.UNAVAILABLE]
    async with connect(server.address) as channel:
        stub = AuthServiceStub(channel)
        with pytest.raises(Unavailable):
            await stub.Register(RegisterRequest(), metadata=KEY)
        await stub.Register(RegisterRequest(), metadata=KEY)
    assert [call.metadata["idempotency-key"] for call in server.calls] == ["mine", "mine"]
