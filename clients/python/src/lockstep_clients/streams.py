"""Calls whose answer is a stream: they get a deadline, the caller's token and typed errors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from lockstep_clients.credentials import HEADER, ServiceIdentity, audience_of
from lockstep_clients.deadlines import time_for
from lockstep_clients.details import path_of, with_metadata, with_timeout
from lockstep_clients.errors import from_rpc_error


class StreamInterceptor(grpc.aio.UnaryStreamClientInterceptor):
    """Does for streams what the other interceptors of a channel do for calls.

    Args:
        identity: The service that calls; None: a user or nobody.
        audience: The service that is called; by default the one in the method's package.
    """

    def __init__(self, identity: ServiceIdentity | None, audience: str | None) -> None:
        self._identity = identity
        self._audience = audience

    async def intercept_unary_stream(
        self,
        continuation: Callable[[grpc.aio.ClientCallDetails, Any], Awaitable[Any]],
        client_call_details: grpc.aio.ClientCallDetails,
        request: Any,
    ) -> AsyncIterator[Any]:
        """Make the call.

        Raises:
            DeadlineExceeded: No time is left; the call was not sent.
        """
        details = client_call_details
        path = path_of(details)
        details = with_timeout(details, time_for(path, details.timeout))
        if self._identity is not None:
            token = self._identity.token(self._audience or audience_of(path))
            details = with_metadata(details, HEADER, token)
        return _typed(await continuation(details, request))


async def _typed(answers: AsyncIterator[Any]) -> AsyncIterator[Any]:
    try:
        async for answer in answers:
            yield answer
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error) from error
