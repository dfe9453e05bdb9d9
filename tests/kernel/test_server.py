from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import grpc
import psycopg
import pytest
from google.protobuf import descriptor_pb2
from google.protobuf.wrappers_pb2 import StringValue
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from lockstep_clients import connect
from opentelemetry.metrics import Meter
from prometheus_client import generate_latest

from services.cli.postgres import EmbeddedPostgres
from services.common.service import opened
from services.kernel.db.database import Database
from services.kernel.rpc import server as kernel_server
from services.kernel.rpc.access import Access
from services.kernel.rpc.call import Call
from services.kernel.rpc.server import NotReady, Probe, Server
from services.kernel.telemetry.metrics import NO_METER, Telemetry
from tests.kernel.probe import SERVICE, KnownKeys, KnownSessions, ProbeServicer, healthy, probing
from tests.kernel.rows import database_probe
from tests.waiting import until

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
NAMES = ("", "lockstep.probe.v1.Probe")


def make(servicer: object = None, probe: Probe = healthy, meter: Meter = NO_METER) -> Server:
    access = Access(
        service="probe", keys=KnownKeys({}), sessions=KnownSessions(), trusted={}, proxies=()
    )
    services = [(SERVICE, servicer or ProbeServicer())]
    return Server(services, access=access, probe=probe, meter=meter)


def open_method(
    channel: grpc.aio.Channel,
) -> grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]:
    return channel.unary_unary("/lockstep.probe.v1.Probe/Open")


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_server, "HEALTH_POLL_SECONDS", 0.1)


class Watcher:
    """Watches a server's health from the first report on."""

    def __init__(self, channel: grpc.aio.Channel, name: str) -> None:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        self._reports = stub.Watch(health_pb2.HealthCheckRequest(service=name))

    async def until(self, status: int) -> None:
        async with asyncio.timeout(10):
            async for report in self._reports:
                if report.status == status:
                    return


async def test_health_follows_the_probe_for_the_server_and_each_service() -> None:
    working = asyncio.Event()

    async def probe() -> None:
        if not working.is_set():
            raise RuntimeError("broken")

    server = make(probe=probe)
    port = await server.start("127.0.0.1:0")
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        for name in NAMES:
            watcher = Watcher(channel, name)
            await watcher.until(NOT_SERVING)
            working.set()
            await watcher.until(SERVING)
            working.clear()
            await watcher.until(NOT_SERVING)
    await server.stop(0)


async def test_health_follows_the_database(
    kernel_url: str, database: Database, postgres: EmbeddedPostgres
) -> None:
    name = psycopg.conninfo.conninfo_to_dict(kernel_url)["dbname"]

    async def admin(statement: str) -> None:
        url = postgres.url("postgres")
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            await connection.execute(statement.encode())

    server = make(probe=database_probe(database))
    port = await server.start("127.0.0.1:0")
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        watcher = Watcher(channel, "")
        await watcher.until(SERVING)
        await admin(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        await admin(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        )
        await watcher.until(NOT_SERVING)
        await admin(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        await watcher.until(SERVING)
    await server.stop(0)


async def test_a_probe_that_hangs_is_not_serving() -> None:
    async def probe() -> None:
        await asyncio.Event().wait()

    server = make(probe=probe)
    port = await server.start("127.0.0.1:0")
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        await Watcher(channel, "").until(NOT_SERVING)
    await server.stop(0)


@pytest.mark.parametrize(
    ("error", "third"),
    [(TimeoutError(), None), (NotReady("the database is behind"), "the database is behind")],
)
async def test_one_answer_that_does_not_come_takes_no_server_out(
    error: Exception, third: str | None
) -> None:
    fails = [False, True, False, True, True]
    told: list[str | None] = []

    async def probe() -> None:
        told.append(server.trouble)
        if fails[min(len(told), len(fails)) - 1]:
            raise error

    server = make(probe=probe)
    port = await server.start("127.0.0.1:0")
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        watcher = Watcher(channel, "")
        await watcher.until(SERVING)
        await watcher.until(NOT_SERVING)
        await until(lambda: len(told) > 2)
        assert told[2] == third
    await server.stop(0)


async def test_at_a_stop_health_says_so_first_and_a_call_in_flight_ends() -> None:
    began, go_on = asyncio.Event(), asyncio.Event()

    async def wait(request: StringValue, call: Call) -> StringValue:
        began.set()
        await go_on.wait()
        return StringValue(value="ended")

    server = make(ProbeServicer(behaviour=wait))
    port = await server.start("127.0.0.1:0")
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        watcher = Watcher(channel, "")
        await watcher.until(SERVING)
        call = open_method(channel)(b"", timeout=10)
        await began.wait()
        stopping = asyncio.create_task(server.stop(10))
        await watcher.until(NOT_SERVING)
        assert not stopping.done()
        go_on.set()
        assert StringValue.FromString(await call).value == "ended"
    await asyncio.wait_for(stopping, 10)


async def test_a_stopping_server_never_says_serving_again() -> None:
    server = make()
    port = await server.start("127.0.0.1:0")
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        await Watcher(channel, "").until(SERVING)
        await server._health.enter_graceful_shutdown()
        await server._report(serving=True)
        await Watcher(channel, "").until(NOT_SERVING)
    await server.stop(0)


async def test_a_call_that_outlasts_the_grace_is_ended() -> None:
    began = asyncio.Event()

    async def wait(request: StringValue, call: Call) -> StringValue:
        began.set()
        await asyncio.Event().wait()
        return request

    server = make(ProbeServicer(behaviour=wait))
    port = await server.start("127.0.0.1:0")
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = open_method(channel)(b"", timeout=30)
        await began.wait()
        await server.stop(0.1)
        # If the stop had waited for it, its own time would be over.
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
    assert caught.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


async def test_after_a_stop_nothing_of_the_server_is_left() -> None:
    before = asyncio.all_tasks()
    server = make()
    await server.start("127.0.0.1:0")
    await server.stop(0)
    assert {task.get_name() for task in asyncio.all_tasks() - before} & {"health"} == set()


async def test_a_stop_waits_for_a_probe_that_takes_its_time_to_end() -> None:
    asked, ended = asyncio.Event(), asyncio.Event()

    async def probe() -> None:
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.2)  # as a statement that has to be cancelled
            ended.set()

    server = make(probe=probe)
    await server.start("127.0.0.1:0")
    await asked.wait()
    await server.stop(0)
    assert ended.is_set()


@pytest.fixture
def taken() -> socket.socket:
    held = socket.create_server(("127.0.0.1", 0))
    held.listen()
    return held


async def test_a_taken_port_is_an_os_error(taken: socket.socket) -> None:
    with taken:
        host, port = taken.getsockname()
        server = make()
        with pytest.raises(OSError, match=f"cannot listen on {host}:{port}"):
            await server.start(f"{host}:{port}")
        await server.stop(0)


async def test_a_port_that_another_server_has_is_not_shared() -> None:
    first, second = make(), make()
    port = await first.start("127.0.0.1:0")
    with pytest.raises(OSError, match="another process"):
        await second.start(f"127.0.0.1:{port}")
    await second.stop(0)
    await first.stop(0)


async def reflected(service: str, **asked: Any) -> Any:
    """Ask one version of reflection."""

    async def requests() -> AsyncIterator[reflection_pb2.ServerReflectionRequest]:
        yield reflection_pb2.ServerReflectionRequest(**asked)

    async with probing() as w:
        channel: Any = w.channel
        call = channel.stream_stream(
            f"/{service}/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        return await anext(call(requests(), timeout=5).__aiter__())


REFLECTION = ["grpc.reflection.v1alpha.ServerReflection", "grpc.reflection.v1.ServerReflection"]


@pytest.mark.parametrize("service", REFLECTION)
async def test_reflection_lists_the_services(service: str) -> None:
    answer = await reflected(service, list_services="")
    names = {each.name for each in answer.list_services_response.service}
    assert names == {"lockstep.probe.v1.Probe", "grpc.health.v1.Health", *REFLECTION}


@pytest.mark.parametrize("service", REFLECTION)
@pytest.mark.parametrize(
    ("symbol", "file"),
    [
        ("grpc.health.v1.Health", "grpc_health/v1/health.proto"),
        ("grpc.health.v1.Health.Check", "grpc_health/v1/health.proto"),
        ("grpc.health.v1.HealthCheckResponse.ServingStatus", "grpc_health/v1/health.proto"),
        ("lockstep.errors.v1.ErrorReason", "lockstep/errors/v1/error_reason.proto"),
        ("grpc.reflection.v1.ServerReflection", "grpc/reflection/v1/reflection.proto"),
        ("grpc.reflection.v1.ServerReflectionRequest", "grpc/reflection/v1/reflection.proto"),
    ],
)
async def test_reflection_describes_a_symbol(service: str, symbol: str, file: str) -> None:
    answer = await reflected(service, file_containing_symbol=symbol)
    described = answer.file_descriptor_response.file_descriptor_proto
    assert descriptor_pb2.FileDescriptorProto.FromString(described[0]).name == file


@pytest.mark.parametrize(
    "symbol", ["", ".", "nope", "grpc.health.v1.Nope", "grpc.health.v1.Health.Nope", "grpc.health"]
)
async def test_reflection_knows_no_other_symbol(symbol: str) -> None:
    answer = await reflected(REFLECTION[1], file_containing_symbol=symbol)
    assert answer.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


async def test_a_servicer_that_lacks_a_method_refuses_to_start() -> None:
    class Partial:
        async def Open(self, request: StringValue, call: Call) -> StringValue:
            return request

    with pytest.raises(TypeError, match=r"Partial lacks /lockstep\.probe\.v1\.Probe/Own"):
        make(Partial())


async def test_a_method_that_nobody_serves_is_unimplemented() -> None:
    async with probing() as w:
        error = await w.refused("Nothing")
    assert error.code is grpc.StatusCode.UNIMPLEMENTED


async def test_a_message_beyond_four_mebibytes_is_refused() -> None:
    async with probing() as w:
        error = await w.refused(text="x" * (4 * 1024 * 1024 + 1))
        assert error.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert w.servicer.calls == []


async def test_databases_are_closed_in_reverse_even_after_a_failure(kernel_url: str) -> None:
    closed: list[str] = []

    class Noted(Database):
        async def close(self) -> None:
            await super().close()
            closed.append(self.name)

    first, second = Noted(kernel_url, name="first"), Noted(kernel_url, name="second")
    with pytest.raises(RuntimeError):
        async with opened(first, second):
            raise RuntimeError
    assert closed == ["second", "first"]


async def test_the_callers_that_watch_are_counted() -> None:
    telemetry = Telemetry("probe")
    server = make(meter=telemetry.meter)
    port = await server.start("127.0.0.1:0")

    def told() -> bytes:
        lines = generate_latest(telemetry.registry).splitlines()
        return next(line for line in lines if line.startswith(b"lockstep_callers"))

    async def callers(count: int) -> None:
        await until(lambda: told().endswith(f" {count}.0".encode()))

    await callers(0)
    async with connect(f"127.0.0.1:{port}") as first, connect(f"127.0.0.1:{port}") as second:
        for channel in (first, second):
            channel.get_state(try_to_connect=True)
        await callers(2)
    await callers(0)
    await server.stop(0)
