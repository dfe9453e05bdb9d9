"""The TypeScript client is generated, compiled and used, with a gateway before a fake service."""

from __future__ import annotations

import asyncio
import importlib.resources
import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
import pytest_asyncio
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from lockstep_gateway.binding import descriptors
from lockstep_gateway.build import find_api
from lockstep_gateway.http.upstream import Upstream
from lockstep_gateway.openapi.document import document
from protobuf import Registry

from services.gateway.__main__ import running
from services.gateway.lockstep import METHOD_OPTION, GatewaySettings
from tests.clients.fake_server import FakeServer
from tests.clients.test_errors import status
from tests.fences import fences
from tests.ports import free_port

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

ROOT = Path(__file__).parents[2]
SECONDS_MAX = 300
NO_REGISTRY = re.compile(r"EAI_AGAIN|ENOTFOUND|ECONNREFUSED|ETIMEDOUT|ENOTCACHED|E404|E403|network")
SETTINGS = {
    "extends": "./tsconfig.json",
    "compilerOptions": {"rootDir": "users", "outDir": "used"},
    "include": ["users"],
}
CHECKS = """
import { connect, LockstepError } from "lockstep-client";

const api = connect({ baseUrl: "URL/", token: () => "t" });
await api.POST("/v1/auth/register", { body: { email: "a@example.com", password: "p" } as never });
await api.GET("/v1/products/{productId}", { params: { path: { productId: "1" } } });
for (const url of ["URL", "DEAD"]) {
  try {
    await connect({ baseUrl: url, timeoutMs: 200 }).GET("/v1/cart");
  } catch (error) {
    if (error instanceof LockstepError) console.log(error.status, error.reason);
  }
}
"""
WRONG = """
import { connect } from "lockstep-client";
await connect({ baseUrl: "" }).GET("/v1/nothing", {});
"""


@dataclass
class World:
    """A gateway, the service behind it, and programs that use the client.

    Attributes:
        server: The service.
        package: The folder of the package, which is built.
        errors: What the compiler said of the programs.
    """

    server: FakeServer
    package: Path
    errors: str

    async def run(self, name: str) -> str:
        """Run a program."""
        ran = await asyncio.to_thread(npm_like, self.package, "node", f"used/{name}.js")
        assert ran.returncode == 0, ran.stderr
        return ran.stdout


def npm_like(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=SECONDS_MAX
    )


@pytest.fixture(scope="module")
def registry() -> Registry:
    data = importlib.resources.files("lockstep_clients") / "lockstep.binpb"
    return descriptors.load(data.read_bytes())


@pytest.fixture(scope="module")
def package(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("npm") is None:
        pytest.skip("there is no Node on this machine")
    folder = tmp_path_factory.mktemp("typescript") / "client"
    ignored = shutil.ignore_patterns("node_modules", "dist", "schema.ts", "openapi.json")
    shutil.copytree(ROOT / "clients" / "typescript", folder, ignore=ignored)
    api = find_api(registry, places(registry, "127.0.0.1:1"), method_option=METHOD_OPTION)
    described = document(registry, api.rpcs, title="Lockstep")
    (folder / "openapi.json").write_text(json.dumps(described))
    (folder / "users.json").write_text(json.dumps(SETTINGS))
    quiet = ("--no-audit", "--no-fund", "--prefer-offline", "--fetch-retries=0")
    installed = npm_like(folder, "npm", "install", *quiet)
    if installed.returncode and NO_REGISTRY.search(installed.stderr):
        pytest.skip(f"npm has no packages: {installed.stderr.strip().splitlines()[0]}")
    assert installed.returncode == 0, installed.stderr
    built = npm_like(folder, "npm", "run", "build")
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


def places(registry: Registry, target: str) -> dict[str, Upstream]:
    names = [each.type_name for each in descriptors.services(registry)]
    upstream = Upstream("fake", target)
    return {name: upstream for name in names if name.startswith("lockstep.")}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(registry: Registry, package: Path) -> AsyncIterator[World]:
    settings = GatewaySettings(stop_grace_seconds=1)
    async with (
        FakeServer() as server,
        running(settings, registry, places(registry, server.address), port=0, is_own=True) as port,
    ):
        url = f"http://127.0.0.1:{port}"
        users = package / "users"
        users.mkdir()
        (users / "example.ts").write_text(example().replace("http://localhost:8080", url))
        checks = CHECKS.replace("URL", url).replace("DEAD", f"http://127.0.0.1:{free_port()}")
        (users / "checks.ts").write_text(checks)
        (users / "wrong.ts").write_text(WRONG)
        compiled = await asyncio.to_thread(npm_like, package, "npx", "tsc", "-p", "users.json")
        yield World(server, package, compiled.stdout)


def example() -> str:
    page = (ROOT / "clients" / "typescript" / "README.md").read_text()
    (found,) = fences(page, "ts")
    return found


async def test_only_what_fits_the_document_compiles(world: World) -> None:
    (error,) = [each for each in world.errors.splitlines() if "error" in each]
    assert error.startswith("users/wrong.ts(3,")
    assert "/v1/nothing" in error


async def test_the_example_of_the_page_works(world: World) -> None:
    world.server.failures = []
    assert await world.run("example") == "0\n"
    refusal = status(
        grpc.StatusCode.INVALID_ARGUMENT,
        ErrorInfo(reason="INVALID_FIELD"),
        BadRequest(
            field_violations=[BadRequest.FieldViolation(field="email", description="is missing")]
        ),
    )
    world.server.failures = [refusal]
    said = "400 INVALID_FIELD [ { field: 'email', description: 'is missing' } ] undefined\n"
    assert await world.run("example") == said


async def test_calls_have_tokens_and_keys_and_an_end(world: World) -> None:
    world.server.calls.clear()
    assert await world.run("checks") == "0 \n"
    created, read, _ = world.server.calls
    assert created.metadata["authorization"] == read.metadata["authorization"] == "Bearer t"
    assert len(str(created.metadata["idempotency-key"])) == 36
    assert "idempotency-key" not in read.metadata
