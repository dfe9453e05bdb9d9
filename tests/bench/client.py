"""Sends one request again and again, where h2load is missing, and prints the figures.

python -m tests.bench.client '{"endpoint": "127.0.0.1:8080", "path": "/v1/products", ...}'
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import uvloop

from tests.bench.load import BYTES_TOLERANCE, JSON, WARM_UP_SECONDS

Once = Callable[[], Awaitable[bytes]]


async def run(wanted: dict[str, Any]) -> dict[str, float]:
    """Send for some seconds, several at once; return the figures of a `load.Load`."""
    begin = time.perf_counter() + WARM_UP_SECONDS
    end = begin + wanted["seconds"]
    opener = _grpc if wanted["message"] is not None else _http
    used = time.process_time()
    async with opener(wanted) as callers:
        found = await asyncio.gather(*(_repeat(once, wanted, begin, end) for once in callers))
    times = sorted(each for times, _ in found for each in times)
    requests = sum(made for _, made in found)
    return {
        "per_second": len(times) / wanted["seconds"],
        "p50": statistics.median(times),
        "p99": times[int(len(times) * 0.99)],
        "requests": requests,
        "own_us": 1e6 * (time.process_time() - used) / requests,
    }


async def _repeat(
    once: Once, wanted: dict[str, Any], begin: float, end: float
) -> tuple[list[float], int]:
    """Return the times after the warm-up, and the number of all requests."""
    times, made, expected = list[float](), 0, wanted["reply_bytes"]
    while (before := time.perf_counter()) < end:
        reply = await once()
        after, made = time.perf_counter(), made + 1
        if abs(len(reply) - expected) > expected * BYTES_TOLERANCE:
            sys.exit(f"{len(reply)} bytes came, not {expected}")
        if before >= begin and after <= end:
            times.append(1000 * (after - before))
    return times, made


@asynccontextmanager
async def _grpc(wanted: dict[str, Any]) -> AsyncIterator[list[Once]]:
    message, headers = bytes.fromhex(wanted["message"]), [tuple(pair) for pair in wanted["headers"]]
    async with grpc.aio.insecure_channel(wanted["endpoint"]) as channel:
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(wanted["path"])

        async def once() -> bytes:
            return await call(message, metadata=headers, timeout=10)

        yield [once] * wanted["in_flight"]


@asynccontextmanager
async def _http(wanted: dict[str, Any]) -> AsyncIterator[list[Once]]:
    host, port = wanted["endpoint"].rsplit(":", 1)
    headers = [("host", wanted["endpoint"]), *wanted["headers"]]
    body, method = wanted["body"] or "", "GET" if wanted["body"] is None else "POST"
    if body:
        headers += [*JSON, ("content-length", str(len(body)))]
    lines = [f"{method} {wanted['path']} HTTP/1.1", *(f"{name}: {text}" for name, text in headers)]
    request = "\r\n".join([*lines, "", body]).encode()
    streams = [await asyncio.open_connection(host, int(port)) for _ in range(wanted["in_flight"])]
    yield [_http_call(reader, writer, request) for reader, writer in streams]
    for _, writer in streams:
        writer.close()


def _http_call(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> Once:
    async def once() -> bytes:
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        if b" 200 " not in head[:16]:
            sys.exit(head.decode("latin-1"))
        length = head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0]
        return await reader.readexactly(int(length))

    return once


if __name__ == "__main__":
    print(json.dumps(uvloop.run(run(json.loads(sys.argv[1])))))
