"""A gateway in front of a real gRPC server that answers with the request."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import google.api
import grpc
import grpc_tools
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_tools import protoc
from lockstep_gateway.http.upstream import Upstream
from protobuf import Registry

from services.gateway.__main__ import running
from services.gateway.lockstep import GatewaySettings
from tests.gateway.http import Client

PROTOS = Path(__file__).parent / "protos"
SERVICE = "acme.library.v1.Library"

STREAMS = ("WatchBooks", "ReadFile")

Behaviour = Callable[[bytes, Any], Awaitable[bytes]]
Streamer = Callable[[bytes, Any], AsyncIterator[bytes]]


def compile_protos(folder: Path, out: Path, *files: str) -> bytes:
    """Compile protos into a FileDescriptorSet with imports."""
    includes = [folder, Path(grpc_tools.__file__).parent / "_proto"]
    includes += [Path(each).parents[1] for each in google.api.__path__]
    arguments = ["protoc", *(f"-I{each}" for each in includes), f"--descriptor_set_out={out}"]
    arguments += ["--include_imports", "--include_source_info", *files]
    assert protoc.main(arguments) == 0  # type: ignore[no-untyped-call]
    return out.read_bytes()


@dataclass
class Upstreams:
    """The gRPC server: it answers with the request, unless a test sets a behaviour."""

    port: int = 0
    calls: list[tuple[str, bytes, dict[str, str | bytes], float | None]] = field(
        default_factory=list
    )
    behaviour: Behaviour | None = None
    streamer: Streamer | None = None

    @property
    def metadata(self) -> dict[str, str | bytes]:
        """The metadata of the last call."""
        return self.calls[-1][2]

    @property
    def method(self) -> str:
        """The name of the method that was called last."""
        return self.calls[-1][0].rpartition("/")[2]

    @contextlib.contextmanager
    def behaving(self, behaviour: Behaviour) -> Iterator[None]:
        """Answer calls with this behaviour while the context lasts."""
        self.behaviour = behaviour
        try:
            yield
        finally:
            self.behaviour = None

    @contextlib.contextmanager
    def streaming(self, streamer: Streamer) -> Iterator[None]:
        """Answer calls that stream with these messages while the context lasts."""
        self.streamer = streamer
        try:
            yield
        finally:
            self.streamer = None


class _Echo(grpc.GenericRpcHandler):
    def __init__(self, upstreams: Upstreams) -> None:
        self._upstreams = upstreams

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        method = str(handler_call_details.method)
        if not method.startswith(("/acme.library.v1.Library/", "/acme.features.v1.Library/")):
            return None

        async def answer(request: bytes, context: Any) -> bytes:
            metadata = dict(context.invocation_metadata())
            self._upstreams.calls.append((method, request, metadata, context.time_remaining()))
            behaviour = self._upstreams.behaviour
            return await behaviour(request, context) if behaviour is not None else request

        async def stream(request: bytes, context: Any) -> AsyncIterator[bytes]:
            metadata = dict(context.invocation_metadata())
            self._upstreams.calls.append((method, request, metadata, context.time_remaining()))
            assert self._upstreams.streamer is not None
            async for each in self._upstreams.streamer(request, context):
                yield each

        if method.endswith(STREAMS):
            return grpc.unary_stream_rpc_method_handler(stream)
        return grpc.unary_unary_rpc_method_handler(answer)


@contextlib.asynccontextmanager
async def echoing(
    health: HealthServicer | None = None, *, options: Iterable[tuple[str, int]] = (), **limits: Any
) -> AsyncIterator[Upstreams]:
    """Run the gRPC server, with a health service or without one."""
    upstreams = Upstreams()
    server = grpc.aio.server(
        options=[("grpc.max_metadata_size", 64 * 1024), *options],
        **limits,
    )
    server.add_generic_rpc_handlers([_Echo(upstreams)])
    if health is not None:
        health_pb2_grpc.add_HealthServicer_to_server(health, server)
    upstreams.port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield upstreams
    finally:
        await server.stop(0)


@dataclass
class World:
    """The parts that a test works with."""

    client: Client
    upstream: Upstreams
    registry: Registry


@contextlib.asynccontextmanager
async def gateway_for(
    upstream: Upstreams,
    registry: Registry,
    *,
    is_own: bool = False,
    service: str = SERVICE,
    **settings: Any,
) -> AsyncIterator[World]:
    """Run a gateway with these settings."""
    told = GatewaySettings(**{"stop_grace_seconds": 1, **settings})
    places = {service: Upstream(service, f"127.0.0.1:{upstream.port}")}
    async with running(told, registry, places, port=0, is_own=is_own) as port:
        yield World(Client(port), upstream, registry)
