"""Tracing: the ids that follow a request from service to service (W3C Trace Context)."""

from __future__ import annotations

import contextvars
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

import grpc
import structlog
from lockstep_clients.details import with_metadata
from opentelemetry import context as spans
from opentelemetry.trace import SpanContext, get_current_span

Request = TypeVar("Request")
Response = TypeVar("Response")

PARENT: Final = "traceparent"
STATE: Final = "tracestate"
STATE_LENGTH_MAX: Final = 512
# Version 00 ends with the flags. A later version may go on; ff is none.
_PARENT: Final = re.compile(
    r"(?:00-{ids}|(?!00|ff)[0-9a-f]{{2}}-{ids}(?:-[\x21-\x7e]*)?)".format(
        ids="(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
    )
)


@dataclass(frozen=True, slots=True)
class TraceContext:
    """The place of a request in a trace.

    A service that makes no spans passes it on as it came: another parent would be one that
    nobody has recorded, and other flags would decide for the caller what is sampled.

    Attributes:
        parent: The value of `traceparent`.
        state: The value of `tracestate`; empty without one.
    """

    parent: str
    state: str = ""

    @property
    def trace_id(self) -> str:
        """The id of the trace, 32 hexadecimal digits."""
        return self.parent[3:35]


_current: contextvars.ContextVar[TraceContext | None] = contextvars.ContextVar(
    "trace_context", default=None
)


def begin(metadata: Mapping[str, str]) -> TraceContext:
    """Take up the trace of a call, or begin one that is not sampled; return it."""
    parent, state = metadata.get(PARENT, ""), metadata.get(STATE, "")
    if _PARENT.fullmatch(parent):
        place = TraceContext(parent, state if len(state) <= STATE_LENGTH_MAX else "")
    else:
        ids = secrets.token_hex(24)  # of the trace and of the span, by one call of the system
        place = TraceContext(f"00-{ids[:32]}-{ids[32:]}-00")
    _current.set(place)
    return place


def resume(parent: str) -> None:
    """Take up the trace of a request that another task has served, for calls and the log."""
    given = TraceContext(parent)
    _current.set(given)
    structlog.contextvars.bind_contextvars(trace_id=given.trace_id)


def place() -> TraceContext | None:
    """Return the place of the running code in a trace: its span, or else what its caller gave."""
    span = get_current_span().get_span_context()
    return place_of(span) if span.is_valid else _current.get()


def traceparent() -> str | None:
    """Return the `traceparent` of the running code (W3C Trace Context), or None."""
    here = place()
    return None if here is None else here.parent


def place_of(span: SpanContext) -> TraceContext:
    """Return the place of a span."""
    parent = f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}"
    return TraceContext(parent, span.trace_state.to_header())


def detached() -> contextvars.Context:
    """Return a context for a task that outlives its request.

    It has the ids and the place in the trace, and nothing else.
    """
    context = contextvars.Context()
    for name, value in structlog.contextvars.get_contextvars().items():
        context.run(structlog.contextvars.bind_contextvars, **{name: value})
    context.run(_current.set, _current.get())
    context.run(spans.attach, spans.get_current())
    return context


class TraceInterceptor(grpc.aio.UnaryUnaryClientInterceptor):
    """Passes the ids of the request that is being served on to the called service."""

    async def intercept_unary_unary(
        self,
        continuation: Callable[
            [grpc.aio.ClientCallDetails, Request],
            Awaitable[grpc.aio.UnaryUnaryCall[Request, Response]],
        ],
        client_call_details: grpc.aio.ClientCallDetails,
        request: Request,
    ) -> grpc.aio.UnaryUnaryCall[Request, Response]:
        """Add `traceparent`, `tracestate` and `x-request-id`, if the running code has them."""
        details = client_call_details
        if (here := place()) is not None:
            details = with_metadata(details, PARENT, here.parent)
            if here.state:
                details = with_metadata(details, STATE, here.state)
        if request_id := structlog.contextvars.get_contextvars().get("request_id"):
            details = with_metadata(details, "x-request-id", request_id)
        return await continuation(details, request)
