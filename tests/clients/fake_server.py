"""A real gRPC server that answers every method as a test tells it to."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Self

import grpc
from google.rpc.status_pb2 import Status
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_status import rpc_status


@dataclass
class Received:
    """One call as the server saw it.

    Attributes:
        deadline: When its caller stops waiting, on the clock of `time.monotonic`.
    """

    path: str
    metadata: dict[str, str | bytes]
    deadline: float | None

    def was_given(self, seconds: float, *, since: float) -> bool:
        """Tell whether the caller gave it so much time, when it called after `since`.

        The time on the way does not count, so a busy machine gives the same answer.
        """
        now = time.monotonic()
        # gRPC rounds a timeout up, by less than 1 %.
        return (
            self.deadline is not None and since + seconds <= self.deadline <= now + 1.01 * seconds
        )


def moment_in(seconds: float | None) -> float | None:
    return None if seconds is None else time.monotonic() + seconds


@dataclass
class FakeServer(grpc.GenericRpcHandler):
    """Fails as often as told, then answers with empty messages.

    Attributes:
        address: Where it listens; port 0 becomes the port that it got, and is kept.
        failures: What the next calls get, first to last; calls after them succeed.
        trailing: Metadata that follows every answer.
        serving: What the health service says; None: there is none.
        gate: Calls wait here while it is closed.
        arrived: Set when a call has come.
        cancelled: Set when a caller has left.
    """

    address: str = "127.0.0.1:0"
    failures: list[grpc.StatusCode | Status] = field(default_factory=list)
    trailing: tuple[tuple[str, str | bytes], ...] = ()
    serving: bool | None = None
    calls: list[Received] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    async def __aenter__(self) -> Self:
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        self._server.add_generic_rpc_handlers([self])
        if self.serving is not None:
            await self._report_health(serving=self.serving)
        port = self._server.add_insecure_port(self.address)
        if self.address.endswith(":0"):
            self.address = self.address.removesuffix("0") + str(port)
        await self._server.start()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._server.stop(None)

    async def _report_health(self, *, serving: bool) -> None:
        health = HealthServicer()
        states = health_pb2.HealthCheckResponse
        await health.set("", states.SERVING if serving else states.NOT_SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(health, self._server)

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        path = handler_call_details.method
        if path.startswith("/grpc."):  # health checks
            return None

        async def answer(_: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
            pairs = context.invocation_metadata() or ()
            deadline = moment_in(context.time_remaining())
            self.calls.append(Received(path, dict(pairs), deadline))
            self.arrived.set()
            return await self._answer(context)

        return grpc.unary_unary_rpc_method_handler(answer)

    async def _answer(self, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        context.set_trailing_metadata(self.trailing)
        match self.failures.pop(0) if self.failures else None:
            case Status() as status:
                await context.abort_with_status(rpc_status.to_status(status))
            case grpc.StatusCode() as code:
                await context.abort(code, "told to fail")
        return b""
