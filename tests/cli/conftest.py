"""Folders, ports and the command itself for the tests of the command."""

import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import jwt
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer

from services.common.keys import KeyRing
from tests.environment import without_settings
from tests.ports import settings_of_ports

ROOT = Path(__file__).parents[2]

Lockstep = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def home() -> Iterator[Path]:
    """Make a data folder with a short path, in /tmp, where other users may enter."""
    with tempfile.TemporaryDirectory(prefix="lockstep-cli-") as folder:
        yield Path(folder) / "home"


@pytest.fixture
def environment(home: Path) -> dict[str, str]:
    """Return an environment that shares nothing with other runs on this machine."""
    return (
        without_settings()
        | settings_of_ports()
        | {"LOCKSTEP_HOME": str(home), "COLUMNS": "200", "PYTHONPATH": str(ROOT)}
    )


@pytest.fixture
def lockstep(environment: dict[str, str]) -> Iterator[Lockstep]:
    """Start `lockstep` with arguments, and kill it if it still runs at the end."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **changes: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.cli", *arguments],
            env=environment | changes,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.communicate(timeout=10)


def finish(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    """Wait for the end of a command, and return its code, output and errors."""
    output, errors = process.communicate(timeout=60)
    return process.returncode, output, errors


@asynccontextmanager
async def listening(
    servers: Mapping[str, grpc.aio.Server], environment: dict[str, str]
) -> AsyncIterator[None]:
    """Let servers listen, healthy, where the command expects the services of these names."""
    async with AsyncExitStack() as stack:
        for name, server in servers.items():
            health = HealthServicer()
            await health.set("", health_pb2.HealthCheckResponse.SERVING)
            health_pb2_grpc.add_HealthServicer_to_server(health, server)
            server.add_insecure_port(f"127.0.0.1:{environment[f'LOCKSTEP_{name.upper()}_PORT']}")
            await server.start()
            stack.push_async_callback(server.stop, 0)
        yield


def check_operator(context: Any, service: str, keys: KeyRing) -> None:
    """Check that it is the operator who calls this service."""
    token = dict(context.invocation_metadata())["x-lockstep-service"]
    key = keys.trusted["operator"]
    claims = jwt.decode(token, key, algorithms=["ES256"], audience=service)
    assert claims["iss"] == "operator"
