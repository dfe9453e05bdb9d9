"""The gateway as a process, in front of a service of another package."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.gateway.http import Client
from tests.gateway.test_start import MANY, REASONS
from tests.gateway.world import SERVICE, World, compile_protos

pytestmark = pytest.mark.asyncio(loop_scope="session")


@contextlib.asynccontextmanager
async def process(
    *arguments: str, keys: Path = Path("/nonexistent")
) -> AsyncIterator[asyncio.subprocess.Process]:
    started = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.gateway",
        *arguments,
        cwd=Path(__file__).parents[2],
        env={
            **os.environ,
            "LOCKSTEP_LOG_FORMAT": "json",
            "LOCKSTEP_KEYS": str(keys),
            "LOCKSTEP_GATEWAY_METRICS_PORT": "0",
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield started
    finally:
        with contextlib.suppress(ProcessLookupError):
            started.kill()
        await started.communicate()


async def port_of(started: asyncio.subprocess.Process) -> int:
    assert started.stdout is not None
    async with asyncio.timeout(60):
        while line := await started.stdout.readline():
            event = json.loads(line)
            if event["event"] == "listening":
                return int(event["port"])
    assert started.stderr is not None
    raise AssertionError((await started.stderr.read()).decode())


async def failure_of(*arguments: str) -> str:
    async with process(*arguments) as started, asyncio.timeout(60):
        _, errors = await started.communicate()
        assert started.returncode not in (0, None)
        return errors.decode()


async def test_it_fronts_a_foreign_service_and_stops_in_order(
    world: World, library_file: Path
) -> None:
    place = f"{SERVICE}=127.0.0.1:{world.upstream.port}"
    arguments = ("--descriptors", str(library_file), "--upstream", place, "--port", "0")
    async with process(*arguments) as started:
        client = Client(await port_of(started))
        answer = await client.get("/v1/books/dune")
        assert answer.json["name"] == "dune"
        assert not [key for key in world.upstream.metadata if key.startswith("x-lockstep")]
        assert (await client.get("/readyz")).status == 200
        # Only our own API ignores the case of a first letter.
        assert (await client.post("/v1/everything", {"One": "x"})).status == 400
        started.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            assert await started.wait() == 0


async def test_it_fronts_our_own_services_without_arguments(library_file: Path, keys: Path) -> None:
    async with process("--port", "0", keys=keys) as started:
        client = Client(await port_of(started))
        described = (await client.get("/openapi.json")).json
        assert len(described["paths"]) > 30
        ready = await client.get("/readyz")
        assert ready.status == 503
        assert re.search(r"auth is \w+", ready.json["message"])


async def test_wrong_arguments_are_one_clear_line(library_file: Path, tmp_path: Path) -> None:
    nonsense = tmp_path / "nonsense"
    nonsense.write_bytes(b"nonsense")
    given = ("--descriptors", str(library_file), "--upstream")
    assert "belong together" in await failure_of("--descriptors", str(library_file))
    assert "must be full.Service=host:port" in await failure_of(*given, "nowhere")
    unknown = await failure_of(*given, "acme.Nope=127.0.0.1:1")
    assert unknown == "gateway: the descriptors have no service acme.Nope\n"
    broken = await failure_of("--descriptors", str(nonsense), "--upstream", "a.B=x:1")
    assert "not a FileDescriptorSet with imports" in broken
    assert "Traceback" not in broken


async def test_a_strict_start_refuses_what_cannot_be_served(tmp_path: Path) -> None:
    (tmp_path / "many.proto").write_text(MANY)
    compile_protos(tmp_path, tmp_path / "many.binpb", "many.proto")
    given = ["--descriptors", str(tmp_path / "many.binpb"), "--port", "0"]
    given += ["--upstream", "acme.v1.Library=127.0.0.1:1"]
    lines = (await failure_of(*given, "--strict")).splitlines()
    assert lines[0] == "gateway: 4 methods cannot be served"
    assert [line.split(":")[0].strip() for line in lines[1:]] == list(REASONS)
    async with process(*given) as started:
        assert (await Client(await port_of(started)).get("/v1/up")).status == 404


async def test_a_taken_port_is_one_clear_line(library_file: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        given = ("--descriptors", str(library_file), "--upstream", f"{SERVICE}=127.0.0.1:1")
        text = await failure_of(*given, "--port", str(port))
    assert text == f"gateway: cannot listen on 127.0.0.1:{port}: Address already in use\n"


def certificate() -> tuple[bytes, bytes]:
    """Make a self-signed certificate of localhost."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private, made.public_bytes(pem)


async def test_upstreams_may_be_reached_over_tls(
    world: World, library_file: Path, tmp_path: Path
) -> None:
    from tests.gateway.world import _Echo

    private, public = certificate()
    ca = tmp_path / "ca.pem"
    ca.write_bytes(public)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers([_Echo(world.upstream)])
    port = server.add_secure_port("localhost:0", grpc.ssl_server_credentials([(private, public)]))
    await server.start()
    given = ("--descriptors", str(library_file), "--upstream", f"{SERVICE}=localhost:{port}")
    try:
        async with process(*given, "--upstream-tls", str(ca), "--port", "0") as started:
            answer = await Client(await port_of(started)).get("/v1/books/dune")
            assert answer.json["name"] == "dune"
        async with process(*given, "--upstream-tls", "system", "--port", "0") as started:
            answer = await Client(await port_of(started)).get("/v1/books/dune")
            assert (answer.status, answer.reason) == (503, "UPSTREAM_UNAVAILABLE")
    finally:
        await server.stop(0)
