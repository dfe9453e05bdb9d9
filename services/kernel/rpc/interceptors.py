"""The layers around every call, in one order.

A layer takes the method and the next handler, and returns a handler. The server composes
the chain once for each method when it starts, so that a call looks nothing up. A failure
in a layer passes through all layers around it.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

import structlog
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc.aio import AbortError, ServicerContext
from grpc_status import rpc_status
from lockstep_clients import deadlines

from services.kernel.errors import (
    DOMAIN,
    DeadlineExceeded,
    DomainError,
    Internal,
    InvalidField,
    Unavailable,
    Violation,
)
from services.kernel.rpc import tracing
from services.kernel.rpc.access import Access
from services.kernel.rpc.admission import Admission
from services.kernel.rpc.call import Call, Handler, Method, ServicePrincipal, UserPrincipal
from services.kernel.rpc.metering import CallMeter, code_of
from services.kernel.rpc.spans import CallSpans
from services.kernel.rpc.texts import undecodable, unfit_texts

Layer = Callable[[Method, Handler], Handler]
RpcHandler = Callable[[bytes, ServicerContext[bytes, bytes]], Awaitable[bytes]]

DEADLINE_FLOOR_SECONDS = 0.05
DEADLINE_DEFAULT_SECONDS = 10.0
DEADLINE_LONGEST_SECONDS = 30.0
# A test holds the largest legal answer of every method below gRPC's own default of 4 MiB.
ANSWER_BYTES_MAX = 8 * 1024 * 1024
# A status travels in the trailing metadata, and a client takes 8 KiB of it by default. The
# caller would see a larger one as RESOURCE_EXHAUSTED. Texts are cut, as they quote requests.
VIOLATIONS_BYTES_MAX = 4096
TEXT_LENGTH_MAX = 300

log = structlog.get_logger("lockstep.call")

_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")


def chain(method: Method, servicer: Handler, inside: Sequence[Layer]) -> RpcHandler:
    """Put the layers around a servicer's method, the outermost first."""
    handler = servicer
    for layer in reversed(inside):
        handler = layer(method, handler)
    return errors(method, handler)


def layers(
    admission: Admission,
    access: Access,
    observer: CallObserver,
    spans: CallSpans | None = None,
    refusals: Sequence[Layer] = (),
) -> tuple[Layer, ...]:
    """Return the layers inside `errors`, in the order in which a call passes them.

    A span, if there are any, holds all that follows. `trace` precedes the observer, whose log
    needs the ids. The observer precedes admission and access, because it must tell refusals.
    Admission precedes all work. The deadline precedes access, which may call another service.
    Layers that write refusals down precede access, too.
    """
    spanning = () if spans is None else (spans.layer,)
    return (*spanning, trace, observer.layer, admission.layer, deadline, *refusals, access.layer)


def errors(method: Method, handler: Handler) -> RpcHandler:
    """Turn every failure into a status; outermost, so that no internals reach the caller."""

    async def handle(message: bytes, context: ServicerContext[bytes, bytes]) -> bytes:
        pairs = _metadata(context)
        metadata = dict(pairs)
        call = Call(
            method=method,
            metadata=metadata,
            repeated=frozenset() if len(metadata) == len(pairs) else _repeated(pairs),
            message=message,
            remaining_seconds=context.time_remaining(),
            peer=context.peer(),
            certificate=context.auth_context,
            send=context.write,
        )
        try:
            return await handler(call)
        except AbortError:
            raise
        except DomainError as error:
            failure: DomainError = error
        except asyncio.CancelledError:
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
            # Something that the handler awaited was cancelled, and not the call. Without a
            # status the caller would wait until its deadline (grpc #29248).
            failure = Unavailable("The call was interrupted. Try again.")
            failure.reason = "INTERNAL"
        except Exception:
            log.exception("unexpected", method=method.path)
            failure = Internal()
        await context.abort_with_status(rpc_status.to_status(status_of(failure, call.trace_id)))
        raise AssertionError("unreachable")

    return handle


def trace(method: Method, handler: Handler) -> Handler:  # noqa: ARG001 - every layer takes both
    """Give the call its request id and trace id, for the log and for the caller."""

    async def handle(call: Call) -> bytes:
        call.trace_id = tracing.begin(call.metadata).trace_id
        given = call.metadata.get("x-request-id", "")
        call.request_id = given if _REQUEST_ID.fullmatch(given) else call.trace_id
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=call.request_id, trace_id=call.trace_id)
        return await handler(call)

    return handle


class CallObserver:
    """Logs and measures every call.

    Args:
        meter: Measures the calls.
    """

    def __init__(self, meter: CallMeter) -> None:
        self._meter = meter

    def layer(self, method: Method, handler: Handler) -> Handler:
        """Tell the method, the caller, the outcome and the duration of every call."""
        record = self._meter.recorder(method)

        async def handle(call: Call) -> bytes:
            began = time.perf_counter()
            code, reason = "OK", None
            try:
                return await handler(call)
            except Exception as error:
                code, reason = code_of(error), getattr(error, "reason", "INTERNAL")
                raise
            except asyncio.CancelledError:
                code = "CANCELLED"
                raise
            finally:
                seconds = time.perf_counter() - began
                record(seconds, code)
                tell = log.debug if call.is_idle and code == "OK" else log.info
                tell(
                    "call",
                    method=method.path,
                    caller=_caller(call),
                    code=code,
                    reason=reason,
                    milliseconds=round(seconds * 1000, 1),
                )

        return handle


def deadline(method: Method, handler: Handler) -> Handler:
    """Refuse a call without enough time, end a late one, and bound the calls that it makes."""
    usual = DEADLINE_LONGEST_SECONDS if method.streams else DEADLINE_DEFAULT_SECONDS

    async def handle(call: Call) -> bytes:
        left = call.remaining_seconds
        seconds = usual if left is None else min(left, DEADLINE_LONGEST_SECONDS)
        if seconds < DEADLINE_FLOOR_SECONDS:
            raise DeadlineExceeded
        call.deadline = time.monotonic() + seconds
        token = deadlines.current_deadline.set(call.deadline)
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                return await handler(call)
        except TimeoutError as error:
            if not limit.expired():  # another timeout, such as a socket's
                raise
            raise DeadlineExceeded from error
        finally:
            deadlines.current_deadline.reset(token)

    return handle


def decode(method: Method, behaviour: Callable[[object, Call], Awaitable[object]]) -> Handler:
    """Read the request and write the answer, inside all layers.

    grpc.aio would answer malformed bytes with the text of a Python exception.
    """

    async def handle(call: Call) -> bytes:
        return _encoded(method, await behaviour(_decoded(method, call), call))

    return handle


def decode_stream(
    method: Method, behaviour: Callable[[object, Call], AsyncGenerator[object]]
) -> Handler:
    """Read the request and send each answer, as `decode` does for one."""

    async def handle(call: Call) -> bytes:
        assert call.send is not None
        async with contextlib.aclosing(behaviour(_decoded(method, call), call)) as answers:
            async for answer in answers:
                await call.send(_encoded(method, answer))
        return b""

    return handle


def _decoded(method: Method, call: Call) -> object:
    try:
        request = method.request.FromString(call.message)
    except DecodeError as error:
        raise InvalidField(*undecodable(method.request, call.message)) from error
    if unfit := unfit_texts(request, call.message):
        raise InvalidField(*unfit)
    return request


def _encoded(method: Method, response: object) -> bytes:
    # Every behaviour returns messages.
    answer: bytes = response.SerializeToString()  # type: ignore[attr-defined] # see above
    if len(answer) > ANSWER_BYTES_MAX:  # gRPC would refuse it outside of all layers
        raise ValueError(f"the answer of {method.path} has {len(answer)} bytes")
    return answer


def status_of(error: DomainError, trace_id: str) -> Status:
    """Describe an error as AIP-193 demands."""
    info = ErrorInfo(reason=error.reason, domain=DOMAIN, metadata={**error.metadata})
    if trace_id:
        info.metadata["trace_id"] = trace_id
    request = _bad_request(error.violations)
    if len(request.field_violations) < len(error.violations):
        info.metadata["violations"] = str(len(error.violations))
    text = error.message[:TEXT_LENGTH_MAX]
    status = Status(code=error.code.value[0], message=text, details=[_packed(info)])
    if error.violations:
        status.details.append(_packed(request))
    if error.retry_after_seconds is not None:
        delay = Duration()
        delay.FromMilliseconds(max(1, round(error.retry_after_seconds * 1000)))
        status.details.append(_packed(RetryInfo(retry_delay=delay)))
    return status


def _bad_request(violations: Sequence[Violation]) -> BadRequest:
    """Name the first wrong fields, as many as fit into a status."""
    request = BadRequest()
    left = VIOLATIONS_BYTES_MAX
    for violation in violations:
        field = request.field_violations.add(
            field=violation.field[:TEXT_LENGTH_MAX],
            description=violation.description[:TEXT_LENGTH_MAX],
        )
        left -= field.ByteSize()
        if left < 0:
            del request.field_violations[-1]
            break
    return request


def _packed(message: ErrorInfo | BadRequest | RetryInfo) -> AnyMessage:
    packed = AnyMessage()
    packed.Pack(message)
    return packed


def _metadata(context: ServicerContext[bytes, bytes]) -> list[tuple[str, str]]:
    pairs = context.invocation_metadata() or ()
    return [(key, value) for key, value in pairs if isinstance(value, str)]


def _repeated(pairs: Sequence[tuple[str, str]]) -> frozenset[str]:
    counts = Counter(key for key, _ in pairs)
    return frozenset(key for key, count in counts.items() if count > 1)


def _caller(call: Call) -> str:
    match call.principal:
        case UserPrincipal(id=user_id):
            return str(user_id)
        case ServicePrincipal(name=name):
            return name
        case _:
            return "anonymous"
