"""The wire between actors: real messages and real layers around real servicers, no sockets."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Protocol

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from google.rpc.status_pb2 import Status
from grpc.aio import AioRpcError, Metadata
from lockstep_clients.deadlines import time_for
from lockstep_clients.errors import (
    DeadlineExceeded,
    Internal,
    LockstepError,
    Unavailable,
    from_rpc_error,
)

from services.kernel.errors import DomainError
from services.kernel.rpc.call import Call, Handler, Method, Principal
from services.kernel.rpc.interceptors import deadline, decode, decode_stream, status_of
from tests.faults.documented import reasons
from tests.faults.edges import DOWN_SECONDS, Actor, Run

Handlers = dict[str, tuple[Method, Handler]]


def handlers_of(descriptor: ServiceDescriptor, servicer: object, names: list[str]) -> Handlers:
    """Put the kernel's layers around methods of a servicer."""
    found = {}
    for name in names:
        method = Method.of(descriptor.methods_by_name[name])
        inside = decode_stream if method.streams else decode
        found[method.path] = (method, deadline(method, inside(method, getattr(servicer, name))))
    return found


class Replicas(Protocol):
    """Where calls go."""

    run: Run

    def serving(self, path: str) -> tuple[Actor, Method, Handler] | None:
        """Return a live replica that serves a method, if there is one."""


class Wire:
    """A channel of one actor; carries its calls, with the faults of the schedule.

    Args:
        replicas: Where calls go.
        caller: The actor that has the channel.
        principal: The caller as the servers see it.
    """

    def __init__(
        self,
        replicas: Replicas,
        caller: Actor,
        principal: Principal,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        self._replicas = replicas
        self._caller = caller
        self._principal = principal
        self._metadata = dict(metadata or {})

    def unary_unary(
        self,
        path: str,
        request_serializer: Callable[[Any], bytes],
        response_deserializer: Callable[[bytes], Any],
        **_: Any,
    ) -> Callable[..., Any]:
        """Return a method, as `grpc.aio.Channel` does."""

        async def call(request: Any, *, timeout: float | None = None) -> Any:  # noqa: ASYNC109 - gRPC's name
            seconds = time_for(path, timeout)
            limit = asyncio.timeout(seconds)
            try:
                async with limit:
                    return response_deserializer(
                        await self._send(path, request_serializer(request), seconds)
                    )
            except TimeoutError:
                if not limit.expired():
                    raise
                raise DeadlineExceeded from None

        return call

    def unary_stream(
        self,
        path: str,
        request_serializer: Callable[[Any], bytes],
        response_deserializer: Callable[[bytes], Any],
        **_: Any,
    ) -> Callable[..., Watch]:
        """Return a method that answers with a stream, as `grpc.aio.Channel` does."""

        def call(request: Any) -> Watch:
            end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            pages = self._watch(path, request_serializer(request), end)
            return Watch(pages, response_deserializer, end)

        return call

    async def _watch(
        self, path: str, message: bytes, end: asyncio.Future[None]
    ) -> AsyncIterator[bytes]:
        """Yield the pages of a stream, until it ends or breaks, or the caller ends it."""
        run, name = self._replicas.run, path.rpartition("/")[2]
        edge = f"{self._caller.name}.{name}"
        match await run.at(self._caller, f"{edge}.request"):
            case "refuse" | "delay":
                raise Unavailable("connection refused")
            case "lose":
                await _broken()
            case "down":
                self._take_down(path)
        await run.calling(name)
        serving = self._replicas.serving(path)
        if serving is None:
            raise Unavailable("connection refused")
        async for page in self._pages(*serving, message, end):
            match await run.at(self._caller, f"{edge}.reply"):
                case "lose":
                    await _broken()
                case "reset":
                    raise Unavailable("connection reset")
                case "garble":
                    raise Internal("the proxy broke")
            yield page

    async def _pages(
        self,
        actor: Actor,
        method: Method,
        handler: Handler,
        message: bytes,
        end: asyncio.Future[None],
    ) -> AsyncIterator[bytes]:
        """Let a server handle a call of a stream, which ends with either of both."""
        run, pages = self._replicas.run, asyncio.Queue[bytes](maxsize=1)

        async def send(page: bytes) -> None:
            await run.at(actor, f"{actor.name}.{method.name}.page")
            await pages.put(page)

        call = Call(method=method, metadata=self._metadata, message=message, send=send)
        call.principal, call.admit = self._principal, _admitted
        handling = asyncio.create_task(
            _handle(run, actor, call, handler), context=contextvars.Context()
        )
        run.watch(handling)
        for gone in (end, self._caller.died):
            gone.add_done_callback(lambda _: handling.cancel())
        while True:
            getting = asyncio.create_task(pages.get())
            either: set[asyncio.Future[Any]] = {getting, handling, actor.died}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not getting.done():
                break
            yield getting.result()
        getting.cancel()
        if not handling.done():
            raise Unavailable("connection reset")
        handling.result()

    async def _send(self, path: str, message: bytes, seconds: float) -> bytes:
        run, name = self._replicas.run, path.rpartition("/")[2]
        edge = f"{self._caller.name}.{name}"
        fault = await run.at(self._caller, f"{edge}.request")
        run.stage.sending(name, message)
        await self._request(run, path, message, fault)
        try:
            reply: bytes | LockstepError = await self._deliver(path, message, seconds)
        except LockstepError as error:
            reply = error
        match await run.at(self._caller, f"{edge}.reply"):
            case "lose":
                await _silence()
            case "reset":
                raise Unavailable("connection reset")
            case "garble":
                raise Internal("the proxy broke")
        if isinstance(reply, LockstepError):
            raise reply
        return reply

    async def _request(self, run: Run, path: str, message: bytes, fault: str | None) -> None:
        async def later() -> None:
            await self._deliver(path, message, 3.0)

        match fault:
            case "refuse":
                raise Unavailable("connection refused")
            case "lose":
                await _silence()
            case "delay":
                run.late.append(later)
                raise Unavailable("connection reset")
            case "again":
                run.late.append(later)
            case "twice":
                task = asyncio.create_task(later(), context=contextvars.Context())
                run.watch(task)
            case "down":
                self._take_down(path)
                raise Unavailable("connection refused")

    def _take_down(self, path: str) -> None:
        run, service = self._replicas.run, path.split(".")[1]
        run.down.add(service)
        asyncio.get_running_loop().call_later(DOWN_SECONDS, run.down.discard, service)

    async def _deliver(self, path: str, message: bytes, seconds: float) -> bytes:
        run = self._replicas.run
        await run.calling(path.rpartition("/")[2])
        serving = self._replicas.serving(path)
        if serving is None:
            raise Unavailable("connection refused")
        actor, method, handler = serving
        call = Call(
            method=method, metadata=self._metadata, message=message, remaining_seconds=seconds
        )
        call.principal = self._principal
        handling = asyncio.create_task(
            _handle(run, actor, call, handler), context=contextvars.Context()
        )
        run.watch(handling)
        try:
            either: set[asyncio.Future[Any]] = {handling, actor.died}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            handling.cancel()  # as gRPC does at the server
            raise
        if not handling.done():
            raise Unavailable("connection reset")
        return handling.result()


async def _handle(run: Run, actor: Actor, call: Call, handler: Handler) -> bytes:
    name = call.method.name
    await run.at(actor, f"{actor.name}.{name}.arrive")
    try:
        reply = await handler(call)
    except DomainError as error:
        if error.reason not in reasons()[name]:
            run.blame(f"{name} answered {error.reason}, which it does not document")
        await run.at(actor, f"{actor.name}.{name}.handled")
        raise from_rpc_error(rpc_error(status_of(error, call.trace_id))) from error
    except Exception as error:
        run.unexpected.append(f"{name}: {error!r}")
        raise Internal(repr(error), reason="INTERNAL") from error
    await run.at(actor, f"{actor.name}.{name}.handled")
    return reply


def rpc_error(status: Status) -> AioRpcError:
    """Make the error that a client gets for a status."""
    code = next(code for code in grpc.StatusCode if code.value[0] == status.code)
    details = Metadata(("grpc-status-details-bin", status.SerializeToString()))
    return AioRpcError(code, Metadata(), details, details=status.message)


class Watch:
    """A call whose answer is a stream, as its caller has it."""

    def __init__(
        self,
        pages: AsyncIterator[bytes],
        decode: Callable[[bytes], Any],
        end: asyncio.Future[None],
    ) -> None:
        self._pages = pages
        self._decode = decode
        self._end = end

    async def __aiter__(self) -> AsyncIterator[Any]:
        async for page in self._pages:
            yield self._decode(page)

    def cancel(self) -> None:
        """End the call."""
        if not self._end.done():
            self._end.set_result(None)


async def _admitted() -> None:
    """Admit a caller of a stream again."""


async def _broken() -> None:
    """Wait until the keepalive of a connection notices that nobody answers."""
    await asyncio.sleep(DOWN_SECONDS)
    raise Unavailable("keepalive")


async def _silence() -> None:
    await asyncio.get_running_loop().create_future()
