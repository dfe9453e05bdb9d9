"""Deadlines: how long a call may take, and how a server passes its caller's deadline on."""

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

# A server keeps this much of its caller's time, to answer when a call of its own times out.
MARGIN_SECONDS = 0.02

# The time, on the clock of `time.monotonic`, at which the caller of the running code stops
# waiting; None when there is no such caller.
current_deadline: ContextVar[float | None] = ContextVar("lockstep_budget", default=None)


def timeout_seconds(path: str, given: float | None) -> float:
    """Return how long a call may take; zero or less when no time is left.

    The least of three counts: the method's own timeout, the timeout that the caller gave,
    and the time until `current_deadline`. A method of a foreign service has the default.
    """
    method = methods().get(path)
    seconds = DEFAULT_TIMEOUT_SECONDS if method is None else method.timeout_seconds
    if given is not None:
        seconds = min(seconds, given)
    deadline = current_deadline.get()
    if deadline is not None:
        seconds = min(seconds, deadline - time.monotonic() - MARGIN_SECONDS)
    return seconds


def time_for(path: str, given: float | None) -> float:
    """Return how long a call may take that is to be sent now.

    Raises:
        DeadlineExceeded: No time is left, so the call must not be sent.
    """
    seconds = timeout_seconds(path, given)
    if seconds <= 0:
        raise DeadlineExceeded(
            "Too little time is left to make the call.", reason="DEADLINE_EXCEEDED"
        )
    return seconds


class DeadlineInterceptor(grpc.aio.UnaryUnaryClientInterceptor):
    """Gives every call a deadline, and refuses a call when no time is left."""

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
            DeadlineExceeded: No time is left; the call was not sent.
        """
        seconds = time_for(path_of(client_call_details), client_call_details.timeout)
        return await continuation(with_timeout(client_call_details, seconds), request)
