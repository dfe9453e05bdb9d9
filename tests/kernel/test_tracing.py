"""A service that makes no spans passes the place in a trace on as it came."""

from __future__ import annotations

import asyncio
import re

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from services.kernel.rpc import tracing
from services.kernel.rpc.call import Call
from services.kernel.rpc.tracing import TraceInterceptor
from tests.kernel.probe import probing
from tests.system import raw_method

PATH = "/lockstep.probe.v1.Probe/Open"
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


async def passed_on(given: dict[str, str], *, in_task: bool = False) -> dict[str, str]:
    """Return the metadata with which a service calls another while it serves a call."""
    async with probing() as called, probing() as caller:
        target = f"127.0.0.1:{called.port}"
        async with grpc.aio.insecure_channel(target, interceptors=[TraceInterceptor()]) as channel:

            async def call_on(request: StringValue, call: Call) -> StringValue:
                async def work() -> None:
                    await raw_method(channel, PATH)(b"", timeout=5)

                context = tracing.detached() if in_task else None
                await asyncio.get_running_loop().create_task(work(), context=context)
                return request

            caller.servicer.behaviour = call_on
            await caller.call(metadata=given)
        [seen] = called.servicer.calls
        return seen.metadata


@pytest.mark.parametrize("in_task", [False, True], ids=["in the call", "in a saga's task"])
@pytest.mark.parametrize("flags", ["00", "01", "03", "ff"])
async def test_a_place_in_a_trace_is_passed_on_unchanged(flags: str, *, in_task: bool) -> None:
    parent = f"00-{TRACE}-{SPAN}-{flags}"
    seen = await passed_on({"traceparent": parent, "tracestate": "a=1,b=2"}, in_task=in_task)
    assert (seen["traceparent"], seen["tracestate"]) == (parent, "a=1,b=2")


async def test_a_later_version_is_passed_on_with_what_it_adds() -> None:
    parent = f"01-{TRACE}-{SPAN}-01-more"
    assert (await passed_on({"traceparent": parent}))["traceparent"] == parent


@pytest.mark.parametrize(
    "parent",
    [
        "",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}",
    ],
)
async def test_without_a_valid_place_a_trace_begins_that_is_not_sampled(parent: str) -> None:
    seen = await passed_on({"traceparent": parent, "tracestate": "a=1"} if parent else {})
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-00", seen["traceparent"])
    assert TRACE not in seen["traceparent"]
    assert "tracestate" not in seen


async def test_a_state_that_is_too_long_is_left_out() -> None:
    parent = f"00-{TRACE}-{SPAN}-01"
    seen = await passed_on({"traceparent": parent, "tracestate": "a=" + "x" * 511})
    assert seen["traceparent"] == parent
    assert "tracestate" not in seen
