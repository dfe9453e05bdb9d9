"""How long each method may take, and how a caller's deadline is passed on."""

import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import TypeVar

import grpc
from lockstep_clients.details import path_of, with_timeout
from lockstep_clients.errors import DeadlineExceeded
from lockstep_clients.methods import DEFAULT_TIMEOUT_SECONDS, methods

Request = TypeVar("Request")
Response = TypeVar("Response")

# What a server keeps of its caller's time, to answer in when a call of its own runs out.
MARGIN_SECONDS = 0.02

# When the caller of the running code stops waiting, on the clock of `time.monotonic`;
# None: nobody waits.
current_deadline: ContextVar[float | None] = ContextVar("lockstep_budget", default=None)


def timeout_seconds(path: str, given: float | None) -> float:
    """Return how long a call may take; with zero or less there is no time for it.

    It is the least of the method's own time, the timeout that the caller gave, and the
    time that is left until `current_deadline`. A method that Lockstep's protos do not
    have gets the default.
    """
    method = methods().get(path)
    seconds = DEFAULT_TIMEOUT_SECONDS if method is None else method.timeout_seconds
    if given is not None:
        seconds = min(seconds, given)
    deadline = current_deadline.get()
    if deadline is not None:
        seconds = min(seconds, deadline - time.monotonic() - MARGIN_SECONDS)
    return seconds


class DeadlineInterceptor(grpc.aio.UnaryUnaryClientInterceptor):
    """Gives every call a deadline, and refuses to send one that has no time left."""

    async def intercept_unary_unary(
        self,
        continuation: Callable[
            [grpc.aio.ClientCallDetails, Request],
            Awaitable[grpc.aio.UnaryUnaryCall[Request, Response]],
        ],
        client_call_details: grpc.aio.ClientCallDetails,
        request: Request,
    ) -> grpc.aio.UnaryUnaryCall[Request, Response]:
        """Set the timeout.

        Raises:
            DeadlineExceeded: Nothing is left; nothing was sent.
        """
        seconds = timeout_seconds(path_of(client_call_details), client_call_details.timeout)
        if seconds <= 0:
            raise DeadlineExceeded(
                "Too little time is left to make the call.", reason="DEADLINE_EXCEEDED"
            )
        return await continuation(with_timeout(client_call_details, seconds), request)
