"""Load: one request again and again, by the generator that disturbs least.

h2load (nghttp2, in C) speaks HTTP/1.1 and, with the right headers, gRPC. A call takes
it 30 us of a core, k6 170 us and a client in Python 180 us. On two cores the measured
service lacks the time that the load takes. h2load does not read gRPC's trailers, but an
error has no body, so the bytes of all answers are checked. Without h2load a client in
Python sends the load, in a process of its own.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import grpc
import httpx

IN_FLIGHT = 16
PYTHON_CLIENT = "a Python client"
WARM_UP_SECONDS = 0.5
# Numbers in an answer may grow while it is measured; an error has no bytes at all.
BYTES_TOLERANCE = 0.02
JSON = (("content-type", "application/json"),)

_FINISHED = re.compile(r"finished in [\d.]+\w+, ([\d.]+) req/s")
_REQUESTS = re.compile(r"(\d+) done, (\d+) succeeded")
_DATA = re.compile(r"\((\d+)\) data")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One request.

    Attributes:
        endpoint: host:port.
        path: The path of an HTTP request, or the method of a gRPC call.
        message: The message of a gRPC call; None: an HTTP request.
        body: The JSON of an HTTP POST; None: an HTTP GET.
        headers: More headers, or metadata.
        reply_bytes: The length of the answer's body.
    """

    endpoint: str
    path: str
    message: bytes | None = None
    body: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    reply_bytes: int = 0

    def at(self, endpoint: str) -> Target:
        """Return the same request to another endpoint."""
        return replace(self, endpoint=endpoint)


@dataclass(frozen=True, slots=True)
class Load:
    """The figures of a load; times in milliseconds. Requests of the warm-up count, too.

    Attributes:
        own_us: The processor time that a request takes the client in Python, in microseconds.
    """

    per_second: float
    p50: float
    p99: float
    requests: int
    own_us: float = 0.0


class LoadError(Exception):
    """An answer was wrong, so the figures mean nothing."""


def generator() -> str:
    """Return the name of this machine's load generator."""
    return "h2load" if shutil.which("h2load") else PYTHON_CLIENT


async def apply(
    targets: Sequence[Target],
    *,
    seconds: float,
    in_flight: int = IN_FLIGHT,
    cores: Sequence[int] = (),
) -> Load:
    """Send requests again and again, several at once.

    Args:
        targets: The requests, each sent as often as it is answered.
        seconds: The length of the load after the warm-up.
        in_flight: The number at once: streams of one connection for gRPC, else connections.
        cores: The cores of the load generator.

    Raises:
        LoadError: An answer was not the expected one.
    """
    run = _h2load if shutil.which("h2load") else python_client
    each = max(1, in_flight // len(targets))
    loads = await asyncio.gather(*(run(target, seconds, each, cores) for target in targets))
    return Load(
        per_second=sum(load.per_second for load in loads),
        p50=statistics.median(load.p50 for load in loads),
        p99=max(load.p99 for load in loads),
        requests=sum(load.requests for load in loads),
    )


async def with_length(target: Target) -> Target:
    """Make a request once, and return it with the length of its answer."""
    if target.message is None:
        async with httpx.AsyncClient() as client:
            url = f"http://{target.endpoint}{target.path}"
            method = "GET" if target.body is None else "POST"
            headers = [*target.headers, *JSON] if target.body else target.headers
            answer = await client.request(method, url, headers=headers, content=target.body)
        answer.raise_for_status()
        return replace(target, reply_bytes=len(answer.content))
    async with grpc.aio.insecure_channel(target.endpoint) as channel:
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(target.path)
        reply = await call(target.message, metadata=target.headers, timeout=10)
    return replace(target, reply_bytes=len(reply))


async def _h2load(target: Target, seconds: float, in_flight: int, cores: Sequence[int]) -> Load:
    with tempfile.TemporaryDirectory() as name:
        log = Path(name, "log")
        command = [*_on(cores), "h2load", *_arguments(target, Path(name), in_flight)]
        # h2load counts the bytes of its warm-up, but not the requests.
        warm_up = await _output([*command, f"-D{_milliseconds(WARM_UP_SECONDS)}"])
        output = await _output([*command, f"-D{_milliseconds(seconds)}", f"--log-file={log}"])
        load = _checked(target, output, _times(log), in_flight)
    return replace(load, requests=load.requests + _done(warm_up))


def _arguments(target: Target, folder: Path, in_flight: int) -> list[str]:
    arguments, headers = list[str](), list(target.headers)
    body = folder / "body"
    if target.message is None:
        arguments += ["--h1", f"-c{in_flight}"]
        if target.body is not None:
            body.write_text(target.body)
            arguments.append(f"-d{body}")
            headers += JSON
    else:
        body.write_bytes(b"\0" + len(target.message).to_bytes(4) + target.message)
        arguments += ["-c1", f"-m{in_flight}", f"-d{body}"]
        headers += [("content-type", "application/grpc"), ("te", "trailers")]
    arguments += [f"-H{name}: {value}" for name, value in headers]
    return [*arguments, f"http://{target.endpoint}{target.path}"]


def _times(log: Path) -> list[float]:
    """Read the milliseconds of each request."""
    return sorted(int(line.split("\t")[2]) / 1000 for line in log.read_text().splitlines())


def _done(output: str) -> int:
    found = _REQUESTS.search(output)
    return int(found[1]) if found else 0


def _checked(target: Target, output: str, times: list[float], in_flight: int) -> Load:
    finished, requests = _FINISHED.search(output), _REQUESTS.search(output)
    data = _DATA.search(output)
    if not (finished and requests and data and times):
        raise LoadError(f"{target.path}: h2load said {output[-500:]!r}")
    done, succeeded = int(requests[1]), int(requests[2])
    prefix = 0 if target.message is None else 5
    each = target.reply_bytes + prefix
    expected = done * each
    # At the end a part of an answer has come to each request that is on its way.
    tolerance = expected * BYTES_TOLERANCE + in_flight * each
    if succeeded < done or abs(int(data[1]) - expected) > tolerance:
        raise LoadError(
            f"{target.path}: {done - succeeded} of {done} failed, "
            f"{int(data[1])} bytes came of {expected}"
        )
    return Load(
        per_second=float(finished[1]),
        p50=statistics.median(times),
        p99=times[int(len(times) * 0.99)],
        requests=done,
    )


async def python_client(
    target: Target, seconds: float, in_flight: int, cores: Sequence[int]
) -> Load:
    """Send requests from a client in Python, in a process of its own.

    Raises:
        LoadError: An answer was not the expected one.
    """
    asked = {
        "endpoint": target.endpoint,
        "path": target.path,
        "message": None if target.message is None else target.message.hex(),
        "body": target.body,
        "headers": target.headers,
        "reply_bytes": target.reply_bytes,
        "seconds": seconds,
        "in_flight": in_flight,
    }
    argv = [sys.executable, "-m", "tests.bench.client", json.dumps(asked)]
    return Load(**json.loads(await _output([*_on(cores), *argv])))


def _on(cores: Sequence[int]) -> list[str]:
    return ["taskset", "-c", ",".join(map(str, cores))] if cores and shutil.which("taskset") else []


async def _output(argv: list[str]) -> str:
    process = await asyncio.create_subprocess_exec(
        *argv, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    text = output.decode(errors="replace")
    if process.returncode != 0:
        raise LoadError(f"{argv[-1]}: {text[-500:]}")
    return text


def _milliseconds(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"
