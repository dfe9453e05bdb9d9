"""Idempotency keys: with one, a repeated request is harmless."""

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar
from uuid import uuid4

import grpc
from lockstep_clients.details import path_of, with_metadata
from lockstep_clients.methods import methods

Request = TypeVar("Request")
Response = TypeVar("Response")

HEADER = "idempotency-key"


class IdempotencyInterceptor(grpc.aio.UnaryUnaryClientInterceptor):
    """Gives a key to each call of a method that takes one, unless the caller gave one.

    Such a key covers the repeats of that call alone. A caller that repeats a call itself
    must give its own key.
    """

    async def intercept_unary_unary(
        self,
        continuation: Callable[
            [grpc.aio.ClientCallDetails, Request],
            Awaitable[grpc.aio.UnaryUnaryCall[Request, Response]],
        ],
        client_call_details: grpc.aio.ClientCallDetails,
        request: Request,
    ) -> grpc.aio.UnaryUnaryCall[Request, Response]:
        """Add the key."""
        if needs_key(path_of(client_call_details), client_call_details.metadata):
            client_call_details = with_metadata(client_call_details, HEADER, str(uuid4()))
        return await continuation(client_call_details, request)


def needs_key(path: str, metadata: Iterable[tuple[str, object]] | None) -> bool:
    """Return whether a call of a method that takes a key has none yet."""
    method = methods().get(path)
    if method is None or not method.takes_idempotency_key:
        return False
    return all(key != HEADER for key, _ in metadata or ())
