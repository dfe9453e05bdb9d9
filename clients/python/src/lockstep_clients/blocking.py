"""The same calls without asyncio, for Django, Celery and scripts.

with connect_blocking("127.0.0.1:50051") as channel:
    reply = AuthServiceStub(channel).Login(LoginRequest(email=email, password=password))

Open the channel in the process that calls: gRPC does not survive a fork.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Self
from uuid import uuid4

import grpc
from lockstep_clients.channels import channel_options, resolve
from lockstep_clients.credentials import HEADER, ServiceIdentity, audience_of
from lockstep_clients.deadlines import time_for
from lockstep_clients.errors import from_rpc_error
from lockstep_clients.idempotency import HEADER as IDEMPOTENCY_KEY
from lockstep_clients.idempotency import needs_key

Continuation = Callable[[Any, Any], Any]
Interceptor = grpc.UnaryUnaryClientInterceptor | grpc.UnaryStreamClientInterceptor


def connect_blocking(
    target: str,
    *,
    identity: ServiceIdentity | None = None,
    audience: str | None = None,
    tls: grpc.ChannelCredentials | None = None,
    interceptors: Sequence[Interceptor] = (),
) -> grpc.Channel:
    """Open a channel with the deadlines, retries, credentials and errors of `connect`.

    Args:
        target: As for `connect`.
        identity: The service that calls; needed for methods that only services may call.
        audience: The service that is called; needed only for methods that several services have.
        tls: The credentials of the transport; without them the channel is plaintext.
        interceptors: Further interceptors, next to the wire.

    Raises:
        ValueError: The target is malformed, or a name in a list cannot be looked up.
    """
    options = channel_options()
    if tls is None:
        channel = grpc.insecure_channel(resolve(target), options)
    else:
        channel = grpc.secure_channel(resolve(target), tls, options)
    return intercepted(channel, identity, audience, interceptors)


def intercepted(
    channel: grpc.Channel,
    identity: ServiceIdentity | None = None,
    audience: str | None = None,
    interceptors: Sequence[Interceptor] = (),
) -> grpc.Channel:
    """Give deadlines, keys, credentials and errors to the calls of a channel."""
    chain = [BlockingErrors(), BlockingCalls(identity, audience), *interceptors]
    return grpc.intercept_channel(channel, *chain)


class _Details(NamedTuple):  # grpc reads its details by these names
    method: str
    timeout: float | None
    metadata: tuple[tuple[str, str | bytes], ...] | None
    credentials: grpc.CallCredentials | None
    wait_for_ready: bool | None
    compression: grpc.Compression | None


class BlockingCalls(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    """Gives each call its deadline, its idempotency key and the caller's token.

    Args:
        identity: The service that calls; None: a user or nobody.
        audience: The service that is called; by default the one in the method's package.
    """

    def __init__(self, identity: ServiceIdentity | None, audience: str | None) -> None:
        self._identity = identity
        self._audience = audience

    def intercept_unary_unary(
        self, continuation: Continuation, client_call_details: Any, request: Any
    ) -> Any:
        """Make the call.

        Raises:
            DeadlineExceeded: No time is left; the call was not sent.
        """
        return continuation(self._told(client_call_details), request)

    intercept_unary_stream = intercept_unary_unary

    def _told(self, details: Any) -> _Details:
        return _Details(
            details.method,
            time_for(details.method, details.timeout),
            (*(details.metadata or ()), *self._added(details)),
            details.credentials,
            details.wait_for_ready,
            details.compression,
        )

    def _added(self, details: Any) -> list[tuple[str, str]]:
        added = []
        if needs_key(details.method, details.metadata):
            added.append((IDEMPOTENCY_KEY, str(uuid4())))
        if self._identity is not None:
            audience = self._audience or audience_of(details.method)
            added.append((HEADER, self._identity.token(audience)))
        return added


class BlockingErrors(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    """Makes calls raise `LockstepError`, whose cause is the gRPC error."""

    def intercept_unary_unary(
        self, continuation: Continuation, client_call_details: Any, request: Any
    ) -> Any:
        """Return the call; its result raises the typed error."""
        return _TypedCall(continuation(client_call_details, request))

    def intercept_unary_stream(
        self, continuation: Continuation, client_call_details: Any, request: Any
    ) -> Any:
        """Return the call; whoever iterates over its answers meets the typed error."""
        return _TypedStream(continuation(client_call_details, request))


class _TypedCall:
    """A call whose failures are typed; all else is the call's own."""

    def __init__(self, call: Any) -> None:
        self._call = call

    def result(self, timeout: float | None = None) -> Any:
        try:
            return self._call.result(timeout)
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error

    def exception(self, timeout: float | None = None) -> BaseException | None:
        try:
            self._call.result(timeout)
        except grpc.RpcError as error:
            return from_rpc_error(error)
        return None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)


class _TypedStream:
    """A stream of answers whose failure is typed; all else is the call's own."""

    def __init__(self, call: Any) -> None:
        self._call = call

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        try:
            return next(self._call)
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)
