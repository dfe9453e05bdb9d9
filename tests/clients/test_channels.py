from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest
from lockstep.auth.v1.auth_service_pb2 import GetUserRequest, LoginRequest
from lockstep.auth.v1.auth_service_pb2_grpc import AuthServiceStub
from lockstep.profile.v1.profile_service_pb2 import CreateProfileRequest
from lockstep.profile.v1.profile_service_pb2_grpc import ProfileServiceStub
from lockstep_clients import Aborted, LockstepError, Unavailable, connect
from lockstep_clients.channels import channel_options, resolve
from lockstep_clients.methods import methods

from tests.clients.fake_server import FakeServer
from tests.waiting import until_found

if TYPE_CHECKING:  # it exists for the type checker only
    from lockstep.auth.v1.auth_service_pb2_grpc import AuthServiceAsyncStub

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


async def test_a_safe_method_is_retried_when_the_service_was_not_reached(
    server: FakeServer,
) -> None:
    server.failures = [UNAVAILABLE, UNAVAILABLE]
    async with connect(server.address) as channel:
        await AuthServiceStub(channel).GetUser(GetUserRequest())
    assert len(server.calls) == 3


async def test_a_safe_method_is_given_up_after_four_tries(server: FakeServer) -> None:
    server.failures = [UNAVAILABLE] * 9
    async with connect(server.address) as channel:
        with pytest.raises(Unavailable):
            await AuthServiceStub(channel).GetUser(GetUserRequest())
    assert len(server.calls) == 4


async def test_no_other_error_is_retried(server: FakeServer) -> None:
    server.failures = [grpc.StatusCode.ABORTED]
    async with connect(server.address) as channel:
        with pytest.raises(Aborted):
            await AuthServiceStub(channel).GetUser(GetUserRequest())
    assert len(server.calls) == 1


async def test_a_method_that_changes_something_is_not_retried(server: FakeServer) -> None:
    server.failures = [UNAVAILABLE]
    async with connect(server.address) as channel:
        with pytest.raises(Unavailable):
            await AuthServiceStub(channel).Login(LoginRequest())
    assert len(server.calls) == 1


async def test_a_step_of_a_saga_is_left_to_the_saga(server: FakeServer) -> None:
    server.failures = [UNAVAILABLE]
    async with connect(server.address) as channel:
        with pytest.raises(Unavailable):
            await ProfileServiceStub(channel).CreateProfile(CreateProfileRequest())
    assert len(server.calls) == 1


def test_no_method_that_takes_an_idempotency_key_is_repeated_by_the_channel() -> None:
    assert not [m for m in methods().values() if m.is_safe and m.takes_idempotency_key]


async def test_calls_are_spread_evenly_over_the_addresses(opened: AsyncExitStack) -> None:
    servers = [await opened.enter_async_context(FakeServer()) for _ in range(2)]
    channel = await opened.enter_async_context(connect(",".join(s.address for s in servers)))
    stub = AuthServiceStub(channel)
    async with asyncio.timeout(5):  # until both are connected
        while not all(server.calls for server in servers):
            await stub.GetUser(GetUserRequest())
    before = [len(server.calls) for server in servers]
    for _ in range(10):
        await stub.GetUser(GetUserRequest())
    assert [len(server.calls) for server in servers] == [count + 5 for count in before]


async def test_an_address_that_is_not_serving_gets_no_calls(opened: AsyncExitStack) -> None:
    healthy = await opened.enter_async_context(FakeServer(serving=True))
    ailing = await opened.enter_async_context(FakeServer(serving=False))
    target = f"{ailing.address},{healthy.address}"
    channel = await opened.enter_async_context(connect(target))
    for _ in range(10):
        await AuthServiceStub(channel).GetUser(GetUserRequest())
    assert (len(healthy.calls), len(ailing.calls)) == (10, 0)


async def test_a_server_that_is_back_is_found_again(opened: AsyncExitStack) -> None:
    server = FakeServer()
    async with server:
        channel = await opened.enter_async_context(connect(server.address))
        stub = AuthServiceStub(channel)
        await stub.Login(LoginRequest())
    with pytest.raises(Unavailable):
        await stub.Login(LoginRequest())
    await opened.enter_async_context(server)
    await until_found(lambda: succeeds(stub))


def test_the_pauses_between_tries_to_connect_stay_short() -> None:
    """They bound how long a channel fails after its server is back."""
    options = dict(channel_options())
    assert int(options["grpc.initial_reconnect_backoff_ms"]) <= 100
    assert int(options["grpc.max_reconnect_backoff_ms"]) <= 500


async def test_a_channel_is_not_held_back_by_one_that_failed_before_it(
    opened: AsyncExitStack,
) -> None:
    server = FakeServer()
    async with server:
        pass  # for an address where nobody listens
    waiting = await opened.enter_async_context(connect(server.address))
    with pytest.raises(Unavailable):
        await AuthServiceStub(waiting).Login(LoginRequest())
    await opened.enter_async_context(server)
    channel = await opened.enter_async_context(connect(server.address))
    await AuthServiceStub(channel).Login(LoginRequest())


async def test_a_server_that_is_slow_to_greet_is_waited_for(
    server: FakeServer, opened: AsyncExitStack
) -> None:
    """A busy server may take longer to greet than the pauses between tries are."""
    slow = await opened.enter_async_context(slow_road_to(server.address))
    channel = await opened.enter_async_context(connect(slow))
    await AuthServiceStub(channel).Login(LoginRequest())
    assert len(server.calls) == 1


@asynccontextmanager
async def slow_road_to(address: str, seconds: float = 1.0) -> AsyncIterator[str]:
    """Give an address that leads to another, where connections are picked up after a while."""
    host, port = address.split(":")
    ended: list[asyncio.Event] = []

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        over = asyncio.Event()
        ended.append(over)
        await asyncio.sleep(seconds)  # the fault itself: nothing waits for it to be over
        answers, requests = await asyncio.open_connection(host, int(port))
        await asyncio.gather(pump(reader, requests), pump(answers, writer))
        over.set()

    async with await asyncio.start_server(carry, "127.0.0.1", 0) as listener:
        yield "{}:{}".format(*listener.sockets[0].getsockname())
        async with asyncio.timeout(5):
            for over in ended:
                await over.wait()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def succeeds(stub: AuthServiceAsyncStub) -> bool:
    try:
        await stub.Login(LoginRequest())
    except LockstepError:
        return False
    return True


async def test_a_unix_socket_is_a_target(tmp_path: Path) -> None:
    async with (
        FakeServer(address=f"unix:{tmp_path}/s") as server,
        connect(server.address) as channel,
    ):
        await AuthServiceStub(channel).Login(LoginRequest())
    assert len(server.calls) == 1


async def test_a_caller_that_leaves_cancels_its_call(server: FakeServer) -> None:
    server.gate.clear()
    async with connect(server.address) as channel:
        call = asyncio.ensure_future(AuthServiceStub(channel).Login(LoginRequest()))
        await asyncio.wait_for(server.arrived.wait(), 5)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await asyncio.wait_for(server.cancelled.wait(), 5)


@pytest.mark.parametrize(
    ("target", "resolved"),
    [
        ("localhost:1", "localhost:1"),
        ("dns:///profile:50052", "dns:///profile:50052"),
        ("unix:/run/profile", "unix:/run/profile"),
        ("127.0.0.1:1, 127.0.0.1:2", "ipv4:127.0.0.1:1,127.0.0.1:2"),
        ("localhost:1,127.0.0.1:2", "ipv4:127.0.0.1:1,127.0.0.1:2"),
        ("[::1]:1,[::1]:2", "ipv6:[::1]:1,[::1]:2"),
    ],
)
def test_a_list_of_addresses_becomes_one_target(target: str, resolved: str) -> None:
    assert resolve(target) == resolved


def test_a_name_in_a_list_stands_for_all_its_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(*_: object, **__: object) -> list[tuple[object, ...]]:
        return [(None, None, None, "", (ip, 0)) for ip in ("::1", "10.0.0.1", "10.0.0.2")]

    monkeypatch.setattr("socket.getaddrinfo", found)
    assert resolve("profile:1,10.0.0.9:2") == "ipv4:10.0.0.1:1,10.0.0.2:1,10.0.0.9:2"


@pytest.mark.parametrize("serving", [True, False])
async def test_a_channel_without_methods_to_repeat_still_watches_the_health(
    opened: AsyncExitStack, serving: bool
) -> None:
    server = await opened.enter_async_context(FakeServer(serving=serving, failures=[UNAVAILABLE]))
    channel = await opened.enter_async_context(
        grpc.aio.insecure_channel(server.address, channel_options([]))
    )
    with pytest.raises(grpc.aio.AioRpcError):
        await AuthServiceStub(channel).GetUser(GetUserRequest())
    assert len(server.calls) == int(serving)


@pytest.mark.parametrize(
    ("target", "complaint"),
    [
        ("", "must name host:port"),
        ("127.0.0.1:1,", "must name host:port"),
        ("127.0.0.1:1,[::1]:2", "mixes"),
        ("127.0.0.1:1,unix:/run/s", "host:port"),
        ("127.0.0.1:1,127.0.0.1", "host:port"),
        ("127.0.0.1:1,nowhere.invalid:2", "looked up"),
    ],
)
def test_a_list_that_makes_no_sense_is_refused(target: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        resolve(target)
