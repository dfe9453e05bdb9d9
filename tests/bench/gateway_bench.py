"""The cost of a REST call: direct gRPC, this gateway, and Envoy's transcoder, in one run.

    python -m tests.bench.gateway_bench [--seconds 3] [--connections 16]

The same gRPC server answers all of them, and the same client program calls them. Each of
the three is a process of its own; client and server share the machine with them.
"""

# ruff: noqa: E501 - the proto

from __future__ import annotations

import argparse
import asyncio
import contextlib
import multiprocessing
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import psutil
import uvloop
from lockstep_gateway.binding import descriptors
from protobuf import Registry, message_from_json_value

from tests.gateway.envoy import envoy_running, until_open
from tests.gateway.world import compile_protos
from tests.ports import free_port

SERVICE = "bench.v1.Shop"
WARM_UP_SECONDS = 0.5
PROTO = """
syntax = "proto3";
package bench.v1;
import "google/api/annotations.proto";
import "google/protobuf/timestamp.proto";
service Shop {
  rpc GetItem(GetItemRequest) returns (Item) { option (google.api.http) = {get: "/v1/items/{item_id}"}; }
  rpc ListItems(ListItemsRequest) returns (ListItemsResponse) { option (google.api.http) = {get: "/v1/items"}; }
  %s
}
message GetItemRequest { string item_id = 1; }
message ListItemsRequest { int32 page_size = 1; string category = 2; }
message ListItemsResponse { repeated Item items = 1; string next_page_token = 2; }
message Price { string currency_code = 1; int64 units = 2; int32 nanos = 3; }
message Category { string id = 1; string name = 2; }
message Item {
  string id = 1; string category_id = 2; Category category = 3; string name = 4;
  string description = 5; Price price = 6; int32 stock = 7; string image_url = 8;
  google.protobuf.Timestamp create_time = 9; google.protobuf.Timestamp update_time = 10;
}
"""
MORE = (
    "rpc Other{n}(GetItemRequest) returns (Item)"
    ' {{ option (google.api.http) = {{get: "/v1/things{n}/{{item_id}}/parts"}}; }}'
)
ITEM: dict[str, Any] = {
    "id": "0190a7a0-1111-7000-8000-000000000001",
    "categoryId": "0190a7a0-2222-7000-8000-000000000001",
    "category": {"id": "0190a7a0-2222-7000-8000-000000000001", "name": "Books"},
    "name": "A book about deserts",
    "description": "Long enough to be a description of a thing that one may want to buy. " * 2,
    "price": {"currencyCode": "USD", "units": "12", "nanos": 990000000},
    "stock": 42,
    "imageUrl": "https://images.example/0190a7a0-1111-7000-8000-000000000001.jpg",
    "createTime": "2026-01-31T12:00:00Z",
    "updateTime": "2026-01-31T12:00:00.123456Z",
}
CALLS = {
    "one item": ("GetItem", "/v1/items/0190a7a0-1111-7000-8000-000000000001"),
    "20 items": ("ListItems", "/v1/items?pageSize=20&category=books"),
}


class Result:
    """Requests a second, latencies, and the processor time of one request, in seconds."""

    def __init__(self, seconds: float, latencies: list[float], cpu: float) -> None:
        self.cpu = cpu / len(latencies)
        self.rate = len(latencies) / seconds
        self.p50 = statistics.median(latencies)
        self.p99 = sorted(latencies)[len(latencies) * 99 // 100]

    def __str__(self) -> str:
        cpu = f"  {self.cpu * 1e6:4.0f} us of CPU each" if self.cpu else ""
        return (
            f"{self.rate:7.0f}/s  p50 {self.p50 * 1e3:6.2f} ms  p99 {self.p99 * 1e3:6.2f} ms{cpu}"
        )


async def serve(port: int, registry: Registry) -> None:
    """Answer with prepared bytes, so that the service costs as little as possible."""
    item, page = registry.message("bench.v1.Item"), registry.message("bench.v1.ListItemsResponse")
    assert item is not None
    assert page is not None
    one = message_from_json_value(item.type, ITEM).to_binary()
    many = message_from_json_value(page.type, {"items": [ITEM] * 20}).to_binary()

    async def get(_request: bytes, _context: object) -> bytes:
        return one

    async def list_(_request: bytes, _context: object) -> bytes:
        return many

    server = grpc.aio.server()
    handlers: dict[str, Any] = {
        "GetItem": grpc.unary_unary_rpc_method_handler(get),
        "ListItems": grpc.unary_unary_rpc_method_handler(list_),
    }
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, handlers)])
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


def serve_process(port: int, descriptors_file: str) -> None:
    uvloop.run(serve(port, descriptors.load(Path(descriptors_file).read_bytes())))


async def http_load(
    port: int, target: str, connections: int, seconds: float, *, pid: int
) -> Result:
    """Send over keep-alive connections, one request after the other on each."""
    request = (
        f"GET {target} HTTP/1.1\r\nHost: bench\r\nAccept: application/json\r\n"
        "Authorization: Bearer aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n\r\n"
    ).encode()

    async def ask(until: float, latencies: list[float]) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
        while (started := time.perf_counter()) < until:
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            assert head.startswith(b"http/1.1 200"), head
            if b"content-length: " in head:
                await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r")[0]))
            else:
                while size := int(await reader.readline(), 16):
                    await reader.readexactly(size + 2)
                await reader.readline()
            latencies.append(time.perf_counter() - started)
        writer.close()

    return await _run(ask, connections, seconds, pid)


async def grpc_load(port: int, method: str, connections: int, seconds: float) -> Result:
    """Call over one channel, with as many calls in flight."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            f"/{SERVICE}/{method}"
        )

        async def ask(until: float, latencies: list[float]) -> None:
            while (started := time.perf_counter()) < until:
                await call(b"", timeout=10)
                latencies.append(time.perf_counter() - started)

        return await _run(ask, connections, seconds)


Ask = Callable[[float, list[float]], Awaitable[None]]


def _cpu_seconds(pid: int) -> float:
    if not pid:
        return 0.0
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


async def _run(ask: Ask, connections: int, seconds: float, pid: int = 0) -> Result:
    await asyncio.gather(
        *(ask(time.perf_counter() + WARM_UP_SECONDS, []) for _ in range(connections))
    )
    latencies: list[float] = []
    before = _cpu_seconds(pid)
    until = time.perf_counter() + seconds
    await asyncio.gather(*(ask(until, latencies) for _ in range(connections)))
    return Result(seconds, latencies, _cpu_seconds(pid) - before)


@contextlib.contextmanager
def upstream(descriptors_file: Path) -> Iterator[int]:
    port = free_port()
    process = multiprocessing.get_context("spawn").Process(
        target=serve_process, args=(port, str(descriptors_file)), daemon=True
    )
    process.start()
    try:
        yield port
    finally:
        process.terminate()
        process.join()


@contextlib.asynccontextmanager
async def gateway(descriptors_file: Path, upstream_port: int) -> AsyncIterator[tuple[int, int]]:
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "services.gateway", "--port", str(port)),
        *("--descriptors", str(descriptors_file)),
        *("--upstream", f"{SERVICE}=127.0.0.1:{upstream_port}"),
        env={
            **os.environ,
            "LOCKSTEP_LOG_FORMAT": "json",
            "LOCKSTEP_LOG_LEVEL": "warning",
            "LOCKSTEP_GATEWAY_METRICS_PORT": "0",
        },
    )
    try:
        await until_open(port)
        yield port, process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()


async def compare(routes: int, connections: int, seconds: float) -> None:
    """Measure everything for an API of so many routes, and print it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        more = "\n".join(MORE.format(n=n) for n in range(routes - 2))
        (folder / "shop.proto").write_text(PROTO % more)
        file = folder / "shop.binpb"
        compile_protos(folder, file, "shop.proto")
        with upstream(file) as port:
            await until_open(port)
            async with (
                gateway(file, port) as (ours, our_pid),
                envoy_running(folder, file, [SERVICE], port) as (theirs, their_pid),
            ):
                for what, (method, target) in CALLS.items():
                    direct = await grpc_load(port, method, connections, seconds)
                    # They take turns, so other work of the machine slows all of them.
                    rounds = [
                        (
                            await http_load(ours, target, connections, seconds / 2, pid=our_pid),
                            await http_load(
                                theirs, target, connections, seconds / 2, pid=their_pid
                            ),
                        )
                        for _ in range(2)
                    ]
                    report(f"{what}, {routes} routes", direct, rounds)


def report(what: str, direct: Result, rounds: list[tuple[Result, Result]]) -> None:
    print(f"\n{what}")
    print(f"  gRPC direct  {direct}")
    for ours, theirs in rounds:
        print(f"  gateway      {ours}")
        print(f"  Envoy        {theirs}")
    rate = sum(ours.rate for ours, _ in rounds) / sum(theirs.rate for _, theirs in rounds)
    p99 = sum(ours.p99 for ours, _ in rounds) / sum(theirs.p99 for _, theirs in rounds)
    print(f"  gateway / Envoy: throughput {rate:.0%}, p99 {p99:.2f} times", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--routes", type=int, nargs="*", default=[2, 500])
    arguments = parser.parse_args()
    for routes in arguments.routes:
        uvloop.run(compare(routes, arguments.connections, arguments.seconds))


if __name__ == "__main__":
    main()
