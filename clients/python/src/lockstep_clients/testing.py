"""Test code that calls Lockstep without a server: a channel that answers as a test says.

with fake_lockstep() as fake:
    fake.answer("AuthService/Login", LoginResponse(token="t"), Unauthenticated())
    stub = AuthServiceStub(fake.channel)            # or fake.aio_channel, for `await`

Calls pass the same deadlines, keys and errors as on a real channel. Time is fake: an answer may
take a minute, and no test waits. This module needs `grpcio-testing`
(`pip install lockstep-clients[testing]`).
"""

from __future__ import annotations

import asyncio
import importlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import grpc
import grpc_testing
from google.protobuf import descriptor_pool
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from lockstep_clients.blocking import intercepted
from lockstep_clients.credentials import ServiceIdentity
from lockstep_clients.errors import LockstepError, Unimplemented
from lockstep_clients.methods import descriptors, methods

Answer = Message | LockstepError | Sequence[Message | LockstepError] | Callable[[Any], Any]
"""What a call gets: a message, an error, or what a function makes of its request.

A stream may get several messages, perhaps with an error as the last.
"""

DOMAIN = "lockstep"
STATUS_DETAILS = "grpc-status-details-bin"


@dataclass(frozen=True, slots=True)
class FakeCall:
    """A call that was made.

    Attributes:
        method: Its method as gRPC names it: a slash, the service, a slash and the name.
        request: The request.
        metadata: The metadata, with what the channel adds.
        timeout_seconds: How long it might take.
    """

    method: str
    request: Message
    metadata: dict[str, str | bytes]
    timeout_seconds: float


@dataclass(slots=True)
class _Answers:
    waiting: list[Answer]
    seconds: float


class FakeLockstep:
    """Answers the calls of a test.

    Args:
        identity: The service that calls, as for `connect`.
        audience: The service that is called, as for `connect`.

    Attributes:
        channel: For stubs that block.
        aio_channel: For stubs whose calls are awaited.
        calls: All calls so far.
        time: The clock of the calls (`grpc_testing.Time`).
    """

    def __init__(
        self, identity: ServiceIdentity | None = None, audience: str | None = None
    ) -> None:
        self.time = grpc_testing.strict_fake_time(0.0)  # type: ignore[no-untyped-call] # it has no types
        self.calls: list[FakeCall] = []
        self._answers: dict[str, _Answers] = {}
        self._lock = threading.Lock()
        self._services = _services()
        testing = grpc_testing.channel(self._services.values(), self.time)  # type: ignore[no-untyped-call] # as above
        self._testing = testing
        self.channel = intercepted(_FakeChannel(self._call, self._stream), identity, audience)
        self.aio_channel: Any = _AioChannel(self.channel)

    def answer(self, method: str, *answers: Answer, seconds: float = 0.0) -> None:
        """Set what the next calls of a method get.

        Args:
            method: The method, such as `AuthService/Login`, or its whole path.
            answers: The answers, first to last. The last one answers all further calls.
            seconds: How long each takes on the fake clock. A call with less time fails.

        Raises:
            ValueError: There is no such method, or no answer.
        """
        if not answers:
            raise ValueError(f"{method} must have an answer")
        self._answers[_path(method)] = _Answers(list(answers), seconds)

    def _call(self, path: str, request: Message, timeout: float, metadata: Any) -> Any:
        """Make a call on the testing channel, and answer it."""
        with self._lock:
            self.calls.append(FakeCall(path, request, dict(metadata or ()), timeout))
            call = self._testing.unary_unary(path).future(request, timeout, tuple(metadata or ()))
            _, _, rpc = self._testing.take_unary_unary(self._method(path))
            answer = self._next(path, timeout)
        rpc.send_initial_metadata(())
        answer = _made(answer, request)
        message = answer if isinstance(answer, Message) else None
        rpc.terminate(message, *_end(answer))
        return call

    def _stream(self, path: str, request: Message, timeout: float, metadata: Any) -> Any:
        """Do the same for a call whose answer is a stream."""
        with self._lock:
            self.calls.append(FakeCall(path, request, dict(metadata or ()), timeout))
            call = self._testing.unary_stream(path)(request, timeout, tuple(metadata or ()))
            _, _, rpc = self._testing.take_unary_stream(self._method(path))
            answer = self._next(path, timeout)
        rpc.send_initial_metadata(())
        answer = _made(answer, request)
        return _FakeAnswers(call, rpc, answer if isinstance(answer, Sequence) else [answer])

    def _next(self, path: str, timeout: float) -> Answer | None:
        """Return the answer of a call; None if its time ends before."""
        answers = self._answers.get(path)
        if answers is None:
            return Unimplemented(f"The test gives no answer to {path}.")
        self.time.sleep_for(min(answers.seconds, timeout))
        answer = answers.waiting.pop(0) if len(answers.waiting) > 1 else answers.waiting[0]
        return None if answers.seconds > timeout else answer

    def _method(self, path: str) -> MethodDescriptor:
        service, _, name = path.removeprefix("/").partition("/")
        return self._services[service].methods_by_name[name]


@contextmanager
def fake_lockstep(
    *, identity: ServiceIdentity | None = None, audience: str | None = None
) -> Iterator[FakeLockstep]:
    """Give a Lockstep that answers as the test says."""
    fake = FakeLockstep(identity, audience)
    try:
        yield fake
    finally:
        fake.channel.close()


class _FakeChannel(grpc.Channel):
    """A channel of calls with one request, as all of Lockstep's are."""

    def __init__(self, call: Callable[..., Any], stream: Callable[..., Any]) -> None:
        self._call = call
        self._stream = stream

    def unary_unary(self, method: str, *_: Any, **__: Any) -> Any:
        return _FakeMethod(self._call, method)

    def unary_stream(self, method: str, *_: Any, **__: Any) -> Any:
        return _FakeStream(self._stream, method)

    def stream_unary(self, method: str, *_: Any, **__: Any) -> Any:
        raise NotImplementedError(method)

    stream_stream = stream_unary

    def subscribe(self, callback: Callable[..., object], try_to_connect: bool = False) -> None:  # noqa: FBT001, FBT002 - gRPC's
        """Report nothing: the channel is always ready."""

    def unsubscribe(self, callback: Callable[..., object]) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing: there is no connection."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing."""


class _FakeMethod:
    def __init__(self, call: Callable[..., Any], path: str) -> None:
        self._call = call
        self._path = path

    def future(self, request: Message, timeout: float, metadata: Any = None, **_: Any) -> Any:
        return self._call(self._path, request, timeout, metadata)

    def with_call(self, request: Message, timeout: float, metadata: Any = None, **_: Any) -> Any:
        call = self.future(request, timeout, metadata)
        try:
            return call.result(), call
        except grpc.RpcError as error:
            raise _FailedCall(error) from None


class _FakeStream:
    def __init__(self, stream: Callable[..., Any], path: str) -> None:
        self._stream = stream
        self._path = path

    def __call__(self, request: Message, timeout: float, metadata: Any = None, **_: Any) -> Any:
        return self._stream(self._path, request, timeout, metadata)


class _FakeAnswers:
    """The answers of a stream. Each is sent when it is asked for, because an error hides others."""

    def __init__(self, call: Any, rpc: Any, parts: Sequence[Any]) -> None:
        self._call = call
        self._rpc = rpc
        self._parts = [*parts]
        self._is_over = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        if not self._is_over:
            self._send(self._parts.pop(0) if self._parts else ())
        return next(self._call)

    def _send(self, part: Any) -> None:
        if isinstance(part, Message):
            self._rpc.send_response(part)
        else:
            self._is_over = True
            self._rpc.terminate(*_end(part))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)


class _FailedCall(grpc.RpcError):
    """A failed call that is a future, too, as interceptors expect it."""

    def __init__(self, call: Any) -> None:
        self._call = call

    def result(self, timeout: float | None = None) -> Any:  # noqa: ARG002 - it is over
        raise self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)


class _AioChannel:
    """The same channel for stubs whose calls are awaited."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._channel = channel

    def unary_unary(self, method: str, *arguments: Any, **options: Any) -> Any:
        call = self._channel.unary_unary(method, *arguments, **options)

        async def awaited(request: Message, **settings: Any) -> Any:
            settings.pop("wait_for_ready", None)
            return await asyncio.to_thread(call, request, **settings)

        return awaited

    def unary_stream(self, method: str, *arguments: Any, **options: Any) -> Any:
        call = self._channel.unary_stream(method, *arguments, **options)

        def streamed(request: Message, **settings: Any) -> _AwaitedStream:
            settings.pop("wait_for_ready", None)
            return _AwaitedStream(call(request, **settings))

        return streamed

    async def close(self, grace: float | None = None) -> None:
        """Do nothing: there is no connection."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Do nothing."""


class _AwaitedStream:
    """A stream of answers that all have come."""

    def __init__(self, answers: Any) -> None:
        self._answers = answers

    async def __aiter__(self) -> AsyncIterator[Any]:
        for answer in self._answers:
            yield answer

    def cancel(self) -> bool:
        """End the call."""
        return bool(self._answers.cancel())


def _made(answer: Answer | None, request: Message) -> Any:
    """Return an answer; a function makes it of the request."""
    if not callable(answer):
        return answer
    try:
        return answer(request)
    except LockstepError as error:
        return error


def _end(answer: Any) -> tuple[Any, grpc.StatusCode, str]:
    """Return the end of a call that gets this answer last: metadata, code and words."""
    if isinstance(answer, LockstepError):
        return _trailing(answer), answer.code, answer.message
    if answer is None:
        return (), grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded"
    return (), grpc.StatusCode.OK, ""


def _path(method: str) -> str:
    found = [
        path for path in methods() if path in (method, f"/{method}") or path.endswith(f".{method}")
    ]
    if len(found) != 1:
        raise ValueError(f"{method!r} must be the name of one method, such as AuthService/Login")
    return found[0]


def _services() -> dict[str, ServiceDescriptor]:
    """Import the stubs, and return the descriptor of each service by its full name."""
    found = {}
    for file in descriptors().file:
        if file.service and file.package.startswith("lockstep."):
            importlib.import_module(file.name.removesuffix(".proto").replace("/", ".") + "_pb2")
            for service in file.service:
                name = f"{file.package}.{service.name}"
                found[name] = descriptor_pool.Default().FindServiceByName(name)
    return found


def _trailing(error: LockstepError) -> tuple[tuple[str, bytes], ...]:
    """Return the metadata that describes an error, as a service sends it."""
    details: list[Message] = []
    if error.reason:
        details.append(ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata))
    if error.violations:
        violations = [
            BadRequest.FieldViolation(field=each.field, description=each.description)
            for each in error.violations
        ]
        details.append(BadRequest(field_violations=violations))
    if error.retry_after_seconds is not None:
        delay = Duration()
        delay.FromNanoseconds(round(error.retry_after_seconds * 1e9))
        details.append(RetryInfo(retry_delay=delay))
    if not details:
        return ()
    packed = [AnyMessage() for _ in details]
    for any_, detail in zip(packed, details, strict=True):
        any_.Pack(detail)
    status = Status(code=error.code.value[0], message=error.message, details=packed)
    return ((STATUS_DETAILS, status.SerializeToString()),)
