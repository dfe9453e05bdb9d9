from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from lockstep_clients import deadlines
from structlog.typing import EventDict

from services.kernel.errors import (
    DeadlineExceeded,
    EtagMismatch,
    InvalidField,
    TooManyRequests,
    Violation,
)
from services.kernel.rpc import interceptors
from services.kernel.rpc.admission import Admission
from services.kernel.rpc.call import Call, Handler, Method
from tests.kernel.probe import SERVICE, Behaviour, World, probing

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


@pytest.fixture
async def w() -> AsyncIterator[World]:
    async with probing() as world:
        yield world


def raising(error: BaseException) -> Behaviour:
    async def behaviour(request: StringValue, call: Call) -> StringValue:
        raise error

    return behaviour


def calls_in(logged: list[EventDict]) -> list[EventDict]:
    return [entry for entry in logged if entry["event"] == "call"]


async def test_the_layers_are_trace_then_log_then_admission_then_deadline_then_access() -> None:
    class Nobody:
        def layer(self, method: Method, handler: Handler) -> Handler:
            return handler

    nobody: Any = Nobody()
    admission = Admission()
    refusals: Any = Nobody()
    assert interceptors.layers(admission, nobody, nobody, refusals=[refusals.layer]) == (
        interceptors.trace,
        nobody.layer,
        admission.layer,
        interceptors.deadline,
        refusals.layer,
        nobody.layer,
    )


async def test_what_every_layer_raises_becomes_a_status(monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors are outermost: a failure in the layer next to them is answered too."""

    def broken(method: Method, handler: Handler) -> Handler:
        async def handle(call: Call) -> bytes:
            raise RuntimeError("a secret of the trace layer")

        return handle

    monkeypatch.setattr(interceptors, "trace", broken)
    async with probing() as w:
        error = await w.refused()
    assert error.code is grpc.StatusCode.INTERNAL
    assert "secret" not in str(error)


async def test_refusals_are_logged(w: World, logged: list[EventDict]) -> None:
    await w.refused("Own")
    [entry] = calls_in(logged)
    assert entry["code"] == "UNAUTHENTICATED"
    assert entry["reason"] == "INVALID_TOKEN"
    assert entry["caller"] == "anonymous"


async def status(w: World) -> Status:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await w.raw("Open")(b"", timeout=5)
    trailing = dict(caught.value.trailing_metadata() or ())
    packed = trailing["grpc-status-details-bin"]
    assert isinstance(packed, bytes)
    return Status.FromString(packed)


async def test_a_domain_error_is_a_status_with_one_error_info(w: World) -> None:
    w.servicer.behaviour = raising(EtagMismatch(metadata={"etag": "7"}))
    found = await status(w)
    assert found.code == grpc.StatusCode.ABORTED.value[0]
    assert found.message == EtagMismatch.text
    [packed] = found.details
    info = ErrorInfo()
    assert packed.Unpack(info)
    assert (info.reason, info.domain) == ("ETAG_MISMATCH", "lockstep")
    assert info.metadata["etag"] == "7"
    assert len(info.metadata["trace_id"]) == 32


async def test_wrong_fields_are_all_named_in_a_bad_request(w: World) -> None:
    w.servicer.behaviour = raising(InvalidField(Violation("a", "is bad"), Violation("b.c", "too")))
    found = await status(w)
    assert found.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    request = BadRequest()
    assert found.details[1].Unpack(request)
    assert [(v.field, v.description) for v in request.field_violations] == [
        ("a", "is bad"),
        ("b.c", "too"),
    ]


async def test_where_waiting_helps_a_retry_info_says_how_long(w: World) -> None:
    w.servicer.behaviour = raising(TooManyRequests(retry_after_seconds=1.5))
    found = await status(w)
    assert found.code == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
    retry = RetryInfo()
    assert found.details[1].Unpack(retry)
    assert retry.retry_delay.ToMilliseconds() == 1500


async def test_a_thousand_wrong_fields_still_reach_a_caller_with_default_limits(w: World) -> None:
    """Status details travel in trailing metadata, of which gRPC takes 8 KiB by default."""
    many = [Violation(f"requests[{n}].product.name", "is required") for n in range(1000)]
    w.servicer.behaviour = raising(InvalidField(*many))
    error = await w.refused()
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert error.reason == "INVALID_FIELD"
    assert error.violations[0].field == "requests[0].product.name"
    assert len(error.violations) > 20
    assert error.message.startswith("Invalid: requests[0].product.name, ")
    assert error.metadata["violations"] == "1000"


async def test_a_huge_name_of_a_field_still_reaches_the_caller(w: World) -> None:
    w.servicer.behaviour = raising(InvalidField(Violation("f" * 100_000, "is no field")))
    error = await w.refused()
    assert error.reason == "INVALID_FIELD"
    assert error.violations[0].description == "is no field"


async def test_an_unexpected_exception_tells_the_caller_nothing_but_where_to_look(
    w: World, logged: list[EventDict]
) -> None:
    w.servicer.behaviour = raising(RuntimeError("password=hunter2"))
    error = await w.refused()
    assert error.code is grpc.StatusCode.INTERNAL
    assert error.reason == "INTERNAL"
    assert error.message == "Something went wrong. The trace id leads to the log."
    assert "hunter2" not in str(await status(w))
    [entry, *_] = [each for each in logged if each["event"] == "unexpected"]
    assert entry["trace_id"] == error.trace_id
    assert entry["exc_info"]
    assert entry["log_level"] == "error"


async def test_an_answer_that_cannot_be_sent_is_our_error_and_not_grpcs(
    w: World, logged: list[EventDict]
) -> None:
    """gRPC would say RESOURCE_EXHAUSTED, as if a repeat could help."""

    async def answer(request: StringValue, call: Call) -> StringValue:
        return StringValue(value="x" * interceptors.ANSWER_BYTES_MAX)

    w.servicer.behaviour = answer
    error = await w.refused()
    assert (error.code, error.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")


async def test_expected_errors_are_not_logged_as_errors(w: World, logged: list[EventDict]) -> None:
    w.servicer.behaviour = raising(EtagMismatch())
    await w.refused()
    assert {entry["log_level"] for entry in logged} == {"info"}


@pytest.mark.parametrize("message", [b"\xff", b"\x0a\x05ab", b"\x0a\x02\xff\xfe"])
async def test_malformed_bytes_are_an_invalid_argument(w: World, message: bytes) -> None:
    error = await w.refused(message=message)
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert error.reason == "INVALID_FIELD"
    assert "google.protobuf.StringValue" in error.violations[0].description
    assert w.servicer.calls == []


async def test_a_cancellation_from_inside_is_answered_at_once_R60(w: World) -> None:
    w.servicer.behaviour = raising(asyncio.CancelledError())
    error = await w.refused()
    # Without an answer it would be DEADLINE_EXCEEDED.
    assert error.code is grpc.StatusCode.UNAVAILABLE
    assert error.reason == "INTERNAL"
    w.servicer.behaviour = raising(EtagMismatch())
    assert (await w.refused()).reason == "ETAG_MISMATCH"


async def test_a_caller_that_hangs_up_cancels_the_handler(
    w: World, logged: list[EventDict]
) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def wait(request: StringValue, call: Call) -> StringValue:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return request

    w.servicer.behaviour = wait
    caller = asyncio.create_task(w.call())
    await asyncio.wait_for(began.wait(), 20)
    caller.cancel()
    await asyncio.wait_for(ended.wait(), 20)
    with contextlib.suppress(asyncio.CancelledError):
        await caller


async def meet(behaviour: Callable[[Call], Awaitable[bytes]], left: float | None) -> Call:
    method = Method.of(SERVICE.methods_by_name["Open"])
    call = Call(method=method, metadata={}, message=b"", remaining_seconds=left)
    await interceptors.deadline(method, behaviour)(call)
    return call


async def nothing(call: Call) -> bytes:
    return b""


@pytest.mark.parametrize("left", [0.049, 0.0, -1.0])
async def test_a_call_with_less_than_50_ms_is_refused_before_anything_happens_R1(
    left: float,
) -> None:
    async def write(call: Call) -> bytes:
        raise AssertionError("wrote something")

    with pytest.raises(DeadlineExceeded):
        await meet(write, left)


@pytest.mark.parametrize(
    ("left", "seconds"), [(None, 10.0), (0.06, 0.06), (3.0, 3.0), (3600.0, 30.0)]
)
async def test_the_deadline_is_the_callers_within_bounds(
    left: float | None, seconds: float
) -> None:
    began = time.monotonic()
    call = await meet(nothing, left)
    assert began + seconds <= call.deadline <= time.monotonic() + seconds


async def test_over_the_wire_a_hopeless_call_reaches_no_servicer_R1(
    w: World, logged: list[EventDict]
) -> None:
    reached: list[str] = []

    async def note(request: StringValue, call: Call) -> StringValue:
        reached.append(request.value)
        return request

    w.servicer.behaviour = note
    error = await w.refused(text="hopeless", seconds=0.03)
    assert error.code is grpc.StatusCode.DEADLINE_EXCEEDED
    # A later call on the same connection is handled after it.
    await w.call(text="later")
    assert reached == ["later"]


async def test_a_call_that_takes_too_long_is_ended(w: World, logged: list[EventDict]) -> None:
    cancelled = asyncio.Event()

    async def wait(request: StringValue, call: Call) -> StringValue:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return request

    w.servicer.behaviour = wait
    error = await w.refused(seconds=1.0)
    assert error.code is grpc.StatusCode.DEADLINE_EXCEEDED
    await asyncio.wait_for(cancelled.wait(), 20)


async def test_a_timeout_of_something_else_is_not_the_callers_deadline(
    w: World, logged: list[EventDict]
) -> None:
    """A socket's ETIMEDOUT is a TimeoutError too."""
    w.servicer.behaviour = raising(TimeoutError("connect to 10.1.2.3 timed out"))
    error = await w.refused()
    assert error.code is grpc.StatusCode.INTERNAL
    assert [each["event"] for each in logged] == ["call", "unexpected"]


async def test_what_is_left_is_passed_on_to_calls_further_on(w: World) -> None:
    seen: list[float | None] = []
    began = time.monotonic()

    async def look(request: StringValue, call: Call) -> StringValue:
        seen.append(deadlines.current_deadline.get())
        assert deadlines.current_deadline.get() == call.deadline
        return request

    w.servicer.behaviour = look
    await w.call(seconds=2.0)
    assert seen[0] is not None
    # gRPC rounds a timeout up, by less than 1 %.
    assert began + 2.0 <= seen[0] <= time.monotonic() + 2.02
    assert deadlines.current_deadline.get() is None


async def test_the_budget_is_reset_when_a_call_ends() -> None:
    await meet(nothing, 1.0)
    assert deadlines.current_deadline.get() is None


@pytest.mark.parametrize(
    ("given", "trace_id", "request_id"),
    [
        ({"traceparent": TRACEPARENT, "x-request-id": "abc-1"}, TRACE, "abc-1"),
        ({"traceparent": TRACEPARENT}, TRACE, TRACE),
        ({"traceparent": TRACEPARENT, "x-request-id": "a b"}, TRACE, TRACE),
        ({"traceparent": TRACEPARENT, "x-request-id": "x" * 129}, TRACE, TRACE),
        ({"traceparent": TRACEPARENT.upper()}, None, None),
        ({"traceparent": "00-1-2-3"}, None, None),
        # W3C Trace Context, 3.2.2.3: all zeroes is no trace id.
        ({"traceparent": f"00-{'0' * 32}-00f067aa0ba902b7-01"}, None, None),
        ({}, None, None),
    ],
)
async def test_ids_are_the_callers_when_they_are_well_formed(
    w: World,
    logged: list[EventDict],
    given: dict[str, str],
    trace_id: str | None,
    request_id: str | None,
) -> None:
    await w.call(metadata=given)
    [call] = w.servicer.calls
    assert len(call.trace_id) == 32
    assert call.trace_id == (trace_id or call.trace_id)
    assert call.request_id == (request_id or call.trace_id)
    assert call.trace_id != "0" * 32
    [entry] = calls_in(logged)
    assert (entry["trace_id"], entry["request_id"]) == (call.trace_id, call.request_id)


async def test_made_up_trace_ids_differ(w: World) -> None:
    await w.call()
    await w.call()
    assert len({call.trace_id for call in w.servicer.calls}) == 2


async def test_the_log_never_holds_what_was_sent(w: World, logged: list[EventDict]) -> None:
    user = w.user()
    metadata = user | {"idempotency-key": "key-hunter2", "x-request-id": "r1"}
    await w.call("Own", "password-hunter2", metadata=metadata)
    w.servicer.behaviour = raising(InvalidField(Violation("name", "is bad")))
    await w.refused("Own", text="password-hunter2", metadata=metadata)
    text = json.dumps(logged, default=repr)
    assert len(calls_in(logged)) == 2
    assert "hunter2" not in text
    assert user["authorization"].removeprefix("Bearer ") not in text


async def test_the_log_says_what_who_and_how_it_ended(w: World, logged: list[EventDict]) -> None:
    await w.call("Rule", metadata=w.service("operator"))
    [entry] = calls_in(logged)
    assert entry["method"] == "/lockstep.probe.v1.Probe/Rule"
    assert (entry["caller"], entry["code"], entry["reason"]) == ("operator", "OK", None)
    assert entry["milliseconds"] >= 0
