"""How long calls take, by method and outcome (semantic conventions for RPC)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import grpc
from opentelemetry.context import Context, get_current
from opentelemetry.metrics import Histogram, Meter

from services.kernel.errors import DomainError
from services.kernel.rpc.call import Method
from services.kernel.telemetry.metrics import DURATION_BUCKETS

Request = TypeVar("Request")
Response = TypeVar("Response")
Attributes = dict[str, str]

# A measurement is recorded so long after its call. Nobody reads metrics that often.
RECORD_SECONDS: Final = 0.05
# The codes with which a server, and not its caller, has failed.
SERVER_ERRORS: Final = frozenset(
    {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
)


def code_of(error: BaseException) -> str:
    """Return the name of the code with which a call ends that has raised this."""
    if isinstance(error, DomainError):
        return error.code.name
    return "CANCELLED" if isinstance(error, asyncio.CancelledError) else "INTERNAL"


class CallMeter:
    """Measures every call that a server answers, with one measurement a call.

    It records a moment later, many measurements in a row: one after each call takes three times
    as long, because the call has filled the caches with other things.
    """

    def __init__(self, meter: Meter) -> None:
        self._waiting: list[tuple[Histogram, float, Attributes, Context]] = []
        self._durations = _histogram(meter, "rpc.server.call.duration", "Duration of served calls")
        # A stream is as long as its caller wants, and would hide how fast calls are.
        self._streams = _histogram(meter, "rpc.server.stream.duration", "Duration of streams")

    def recorder(self, method: Method) -> Callable[[float, str], None]:
        """Return what notes the seconds and the code of a method's calls, to be recorded."""
        outcomes = _Outcomes(method.path)
        histogram = self._streams if method.streams else self._durations

        def note(seconds: float, code: str) -> None:
            if not self._waiting:
                asyncio.get_running_loop().call_later(RECORD_SECONDS, self.record)
            self._waiting.append((histogram, seconds, outcomes[code], get_current()))

        return note

    def record(self) -> None:
        """Record now what waits."""
        waiting, self._waiting = self._waiting, []
        for histogram, seconds, attributes, context in waiting:
            histogram.record(seconds, attributes, context)


class ClientMeter(grpc.aio.UnaryUnaryClientInterceptor):
    """Measures every call to another service."""

    def __init__(self, meter: Meter) -> None:
        self._durations = _histogram(meter, "rpc.client.call.duration", "Duration of own calls")
        self._outcomes: dict[str, _Outcomes] = {}

    async def intercept_unary_unary(
        self,
        continuation: Callable[
            [grpc.aio.ClientCallDetails, Request],
            Awaitable[grpc.aio.UnaryUnaryCall[Request, Response]],
        ],
        client_call_details: grpc.aio.ClientCallDetails,
        request: Request,
    ) -> grpc.aio.UnaryUnaryCall[Request, Response]:
        """Make the call, and measure it when it is done."""
        outcomes = self._of(_text(client_call_details.method))
        began = time.perf_counter()
        code = "CANCELLED"
        call = await continuation(client_call_details, request)
        try:
            code = (await call.code()).name
        except asyncio.CancelledError:
            call.cancel()
            raise
        finally:
            self._durations.record(time.perf_counter() - began, outcomes[code])
        return call

    def _of(self, path: str) -> _Outcomes:
        if path not in self._outcomes:
            self._outcomes[path] = _Outcomes(path)
        return self._outcomes[path]


class _Outcomes(dict[str, Attributes]):
    """The attributes of a method's calls by the name of their code, each made once."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._method = path.removeprefix("/")

    def __missing__(self, code: str) -> Attributes:
        attributes = {
            "rpc.system.name": "grpc",
            "rpc.method": self._method,
            "rpc.status_code": code,
        }
        if code in SERVER_ERRORS:
            attributes["error.type"] = code
        self[code] = attributes
        return attributes


def _histogram(meter: Meter, name: str, description: str) -> Histogram:
    return meter.create_histogram(
        name,
        unit="s",
        description=description,
        explicit_bucket_boundaries_advisory=list(DURATION_BUCKETS),
    )


def _text(path: str | bytes) -> str:
    return path.decode() if isinstance(path, bytes) else path
