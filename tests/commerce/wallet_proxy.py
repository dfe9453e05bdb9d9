"""A network that misbehaves between Commerce and the real wallets of Profile."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc

from services.kernel.rpc.server import OPTIONS

SERVICE = "lockstep.profile.v1.WalletService"
METHODS = ("GetWallet", "ListWalletTransfers", "TopUpWallet", "DebitWallet", "VoidTransfer")

Forward = Callable[[], Awaitable[bytes]]
Fault = Callable[[Forward], Awaitable[bytes]]


class Broken(Exception):
    """An error without details, as from a proxy or a dying server."""

    def __init__(self, code: grpc.StatusCode) -> None:
        super().__init__(code.name)
        self.code = code


class Held:
    """A fault that keeps a request until it is released."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.released = asyncio.Event()

    async def __call__(self, forward: Forward) -> bytes:
        self.reached.set()
        await self.released.wait()
        return await forward()


def refused(code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE) -> Fault:
    """Lose the request."""

    async def fault(forward: Forward) -> bytes:
        raise Broken(code)

    return fault


def reply_lost(code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE) -> Fault:
    """Let the request through, and lose the answer."""

    async def fault(forward: Forward) -> bytes:
        await forward()
        raise Broken(code)

    return fault


async def untroubled(forward: Forward) -> bytes:
    """Pass the request on."""
    return await forward()


async def duplicated(forward: Forward) -> bytes:
    """Deliver the request twice at once."""
    first, second = await asyncio.gather(forward(), forward())
    assert first == second
    return second


class WalletProxy:
    """Passes calls on, unless a fault is in the way."""

    def __init__(self, target: str) -> None:
        self._channel = grpc.aio.insecure_channel(target)
        self.faults: dict[str, deque[Fault]] = defaultdict(deque)
        self.is_down = False
        self.calls: list[str] = []
        self.last: dict[str, tuple[bytes, list[tuple[str, Any]]]] = {}
        self.port = 0

    def fault(self, method: str, *faults: Fault) -> None:
        """Give the next calls of a method faults, one each."""
        self.faults[method].extend(faults)

    async def repeat(self, method: str) -> bytes:
        """Deliver the last request of a method again, as a duplicate in the network."""
        message, metadata = self.last[method]
        return await self._send(method, message, metadata, 5.0)

    def handler(self, method: str) -> grpc.RpcMethodHandler[bytes, bytes]:
        async def handle(message: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
            self.calls.append(method)
            metadata = [(k, v) for k, v in context.invocation_metadata() or () if k[0] != ":"]
            kept = [(k, v) for k, v in metadata if k not in ("user-agent", "te", "content-type")]
            self.last[method] = message, kept
            left = context.time_remaining()

            async def forward() -> bytes:
                return await self._send(method, message, kept, left)

            try:
                return await self._next_fault(method)(forward)
            except Broken as broken:
                await context.abort(broken.code, "broken")
            except grpc.aio.AioRpcError as error:
                await context.abort(error.code(), error.details() or "", error.trailing_metadata())
            raise AssertionError("unreachable")

        return grpc.unary_unary_rpc_method_handler(handle)

    def _next_fault(self, method: str) -> Fault:
        if self.is_down:
            return refused()
        waiting = self.faults[method]
        return waiting.popleft() if waiting else untroubled

    async def _send(
        self, method: str, message: bytes, metadata: list[tuple[str, Any]], left: float | None
    ) -> bytes:
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(
            f"/{SERVICE}/{method}"
        )
        reply: bytes = await call(message, metadata=metadata, timeout=left)
        return reply

    async def close(self) -> None:
        await self._channel.close()


@asynccontextmanager
async def wallet_proxy(target: str) -> AsyncIterator[WalletProxy]:
    """Serve a proxy on a port of its own."""
    proxy = WalletProxy(target)
    server = grpc.aio.server(options=OPTIONS)
    handlers = {name: proxy.handler(name) for name in (*METHODS, "RefundWallet", "ReleaseSales")}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    proxy.port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield proxy
    finally:
        await server.stop(0)
        await proxy.close()
