"""The budgets of a server, each filled while the others are asked, and how a stop ends calls."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from itertools import islice
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from lockstep_clients import LockstepError, connect

from services.kernel.rpc import admission
from services.kernel.rpc.admission import CALLS_MAX
from services.kernel.rpc.call import Call
from services.kernel.rpc.interceptors import DEADLINE_LONGEST_SECONDS
from services.kernel.rpc.server import OPTIONS, RPCS_MAX, STREAMS_MAX
from tests.kernel.probe import World, echo, probing

SERVING = health_pb2.HealthCheckResponse.SERVING
QUIET_SECONDS = 0.1
Options = Sequence[tuple[str, int]]


class Gate:
    """Holds calls until it opens."""

    def __init__(self) -> None:
        self.waiting = 0
        self.opened = asyncio.Event()
        self._changed = asyncio.Condition()

    async def __call__(self, request: StringValue, call: Call) -> StringValue:
        async with self._changed:
            self.waiting += 1
            self._changed.notify_all()
        await self.opened.wait()
        return request

    async def holds(self, calls: int) -> None:
        """Wait until it holds this many calls."""
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(lambda: self.waiting >= calls)


@contextlib.asynccontextmanager
async def connection(w: World, options: Options = ()) -> AsyncIterator[grpc.aio.Channel]:
    """Connect anew, not by a connection of another channel."""
    own = [("grpc.use_local_subchannel_pool", 1), *options]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{w.port}", own) as channel:
        yield channel


async def code_of(call: Any) -> grpc.StatusCode:
    """Wait until a call has ended, and return its code."""
    code: grpc.StatusCode = await call.code()
    return code


async def is_healthy(channel: Any) -> bool:
    """Check the health, watch it, and ask for reflection."""
    stub: Any = health_pb2_grpc.HealthStub(channel)
    request = health_pb2.HealthCheckRequest()
    checked = await stub.Check(request, timeout=10)
    watched = await stub.Watch(request, timeout=10).read()
    reflection: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    asked = reflection.ServerReflectionInfo(
        iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=10
    )
    answer = await asked.read()
    return bool(checked.status == watched.status == SERVING and answer.list_services_response)


async def watch(channel: Any, number: int) -> list[Any]:
    """Open idle watches of the health."""
    stub: Any = health_pb2_grpc.HealthStub(channel)
    watches = [stub.Watch(health_pb2.HealthCheckRequest()) for _ in range(number)]
    async with asyncio.timeout(30):
        await asyncio.gather(*(each.read() for each in watches))
    return watches


async def test_a_call_above_the_limit_is_told_to_wait_and_health_still_answers() -> None:
    async with probing(calls_max=2) as w:
        w.servicer.behaviour = gate = Gate()
        held = [asyncio.create_task(w.call(text="held")) for _ in range(2)]
        await gate.holds(2)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await w.raw("Open")(b"", timeout=5)
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        packed = dict(refused.value.trailing_metadata() or ())["grpc-status-details-bin"]
        assert isinstance(packed, bytes)
        details = Status.FromString(packed).details
        info, retry = ErrorInfo(), RetryInfo()
        assert details[0].Unpack(info)
        assert info.reason == "TOO_MANY_REQUESTS"
        assert details[1].Unpack(retry)
        assert retry.retry_delay.ToMilliseconds() == 1000
        assert await is_healthy(w.channel)
        gate.opened.set()
        assert await asyncio.gather(*held) == ["held", "held"]
        assert await w.call(text="next") == "next"


async def test_a_caller_that_leaves_gives_its_place_back() -> None:
    async with probing(calls_max=1) as w:
        w.servicer.behaviour = gate = Gate()
        leaving = asyncio.create_task(w.call())
        await gate.holds(1)
        leaving.cancel()
        gate.opened.set()
        async with asyncio.timeout(20):
            while True:
                with contextlib.suppress(LockstepError):
                    assert await w.call(text="next") == "next"
                    break


async def test_a_thousand_idle_watches_disturb_no_call() -> None:
    async with probing() as w, contextlib.AsyncExitStack() as stack:
        channels = [await stack.enter_async_context(connection(w)) for _ in range(11)]
        watches = await asyncio.gather(*(watch(channel, 95) for channel in channels))
        assert sum(map(len, watches)) == 1045
        assert await w.call(text="call") == "call"
        assert await is_healthy(w.channel)


async def test_a_connection_that_is_full_holds_up_no_other() -> None:
    async with probing() as w, connection(w) as full:
        watches = await watch(full, STREAMS_MAX)
        assert await w.call(text="call") == "call"
        assert await is_healthy(w.channel)
        stub: Any = health_pb2_grpc.HealthStub(full)
        waiting = asyncio.ensure_future(stub.Check(health_pb2.HealthCheckRequest(), timeout=10))
        watches.pop().cancel()
        assert (await waiting).status == SERVING


async def test_of_a_burst_each_call_is_taken_or_told_to_wait() -> None:
    """By gRPC's defaults some of them are cancelled, when more than 1,000 wait to be taken."""
    async with probing() as w, connection(w) as second:
        w.servicer.behaviour = gate = Gate()
        methods: list[Any] = [
            each.unary_unary("/lockstep.probe.v1.Probe/Open") for each in (w.channel, second)
        ]
        calls = [methods[n % 2](b"", timeout=60) for n in range(CALLS_MAX + 500)]
        codes = [await each for each in islice(asyncio.as_completed(map(code_of, calls)), 500)]
        assert set(codes) == {grpc.StatusCode.RESOURCE_EXHAUSTED}
        gate.opened.set()
        assert Counter([await code_of(call) for call in calls]) == {
            grpc.StatusCode.OK: CALLS_MAX,
            grpc.StatusCode.RESOURCE_EXHAUSTED: 500,
        }


def test_the_limit_of_calls_comes_before_those_of_grpc() -> None:
    assert CALLS_MAX < STREAMS_MAX < RPCS_MAX / 5


async def test_pings_each_second_keep_a_connection() -> None:
    """By gRPC's defaults the server ends it after the third: `Too many pings`."""
    pings = [
        ("grpc.keepalive_time_ms", 1200),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
    ]
    async with probing() as w, connection(w, pings) as channel:
        [idle] = await watch(channel, 1)
        with pytest.raises(TimeoutError):  # nothing changes and nothing breaks meanwhile
            await asyncio.wait_for(asyncio.shield(idle.read()), 7)
        assert await is_healthy(channel)


async def test_a_connection_of_age_lets_its_calls_end() -> None:
    async with probing(connection_seconds=1) as w:
        w.servicer.behaviour = gate = Gate()
        held = asyncio.create_task(w.call(text="held", seconds=20))
        await gate.holds(1)
        async with asyncio.timeout(10):
            await w.channel.wait_for_state_change(grpc.ChannelConnectivity.READY)
        w.servicer.behaviour = echo
        for _ in range(50):
            assert await w.call(text="on another connection") == "on another connection"
        gate.opened.set()
        assert await held == "held"


def test_a_connection_of_age_waits_longer_than_any_call() -> None:
    assert dict(OPTIONS)["grpc.max_connection_age_grace_ms"] > DEADLINE_LONGEST_SECONDS * 1000


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "QUIET_SECONDS", QUIET_SECONDS)


async def test_a_stop_under_load_cancels_no_call(quiet: None) -> None:
    """gRPC cancels those that it has received and not yet handed over."""
    outcomes: Counter[grpc.StatusCode] = Counter()
    warm, stopped = asyncio.Event(), asyncio.Event()

    async def call(channel: grpc.aio.Channel) -> None:
        method: Any = channel.unary_unary("/lockstep.probe.v1.Probe/Open")
        while not stopped.is_set():
            try:
                await method(b"")
                outcomes[grpc.StatusCode.OK] += 1
            except LockstepError as error:
                outcomes[error.code] += 1
            if outcomes[grpc.StatusCode.OK] == 300:
                warm.set()

    async with probing() as w, connect(f"127.0.0.1:{w.port}") as channel:
        callers = [asyncio.create_task(call(channel)) for _ in range(30)]
        await asyncio.wait_for(warm.wait(), 20)
        await w.server.stop(10)
        stopped.set()
        await asyncio.gather(*callers)
    assert set(outcomes) <= {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}


async def test_a_stop_waits_for_calls_that_still_come(
    quiet: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.monotonic()
    clock = SimpleNamespace(monotonic=lambda: now)
    monkeypatch.setattr(admission, "time", clock)
    async with probing() as w:
        stopping = asyncio.create_task(w.server.stop(10))
        for _ in range(20):
            await w.call()
            now += QUIET_SECONDS / 2
        assert not stopping.done()
        now += QUIET_SECONDS
        await asyncio.wait_for(stopping, 20)


async def test_a_call_that_outlasts_the_grace_is_told_to_try_again() -> None:
    async with probing() as w:
        w.servicer.behaviour = gate = Gate()
        late = asyncio.create_task(w.refused(seconds=30))
        await gate.holds(1)
        await w.server.stop(0.1)
        error = await late
        assert error.code is grpc.StatusCode.UNAVAILABLE
        assert error.reason == "UPSTREAM_UNAVAILABLE"


async def test_a_stop_with_a_delay_is_announced_while_calls_are_still_served() -> None:
    async with probing() as w:
        stopping = asyncio.create_task(w.server.stop(10, delay_seconds=60))
        watch: Any = w.channel.unary_stream(
            "/grpc.health.v1.Health/Watch",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        async with asyncio.timeout(10):
            answers = watch(health_pb2.HealthCheckRequest())
            async for answer in answers:
                if answer.status != SERVING:
                    answers.cancel()
                    break
        assert w.server.trouble == "stopping"
        assert await w.call(text="still served") == "still served"
        assert not stopping.done()
        signal.raise_signal(signal.SIGTERM)  # another one ends the delay
        await asyncio.wait_for(stopping, 10)
