"""Tracing: the ids that follow a request from service to service (W3C Trace Context)."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from typing import TypeVar

import grpc
import structlog
from lockstep_clients.details import with_metadata

Request = TypeVar("Request")
Response = TypeVar("Response")


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
        """Add `traceparent` and `x-request-id`, if the running code has such ids."""
        ids = structlog.contextvars.get_contextvars()
        details = client_call_details
        if trace_id := ids.get("trace_id"):
            span_id = secrets.token_hex(8)
            details = with_metadata(details, "traceparent", f"00-{trace_id}-{span_id}-01")
        if request_id := ids.get("request_id"):
            details = with_metadata(details, "x-request-id", request_id)
        return await continuation(details, request)
