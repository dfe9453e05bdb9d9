"""The page of lockstep-gateway is followed to the letter, in an environment of its own."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import subprocess
import sys
import sysconfig
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.fences import fences
from tests.ports import free_port
from tests.waiting import until_found

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "gateway" / "README.md").read_text()
UV = Path(sys.executable).with_name("uv")
SECONDS_MAX = 60
LOG_LINE = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z ")
MISSING_INDEX = re.compile(
    r"error sending request|dns error|no solution found|failed to fetch|not found in the"
    r" (?:package )?(?:registry|cache)|network",
    re.IGNORECASE,
)

# What a gateway has no use for: the databases, the rules, the stubs of Lockstep.
STRANGERS = {"lockstep", "lockstep_clients", "sqlalchemy", "psycopg", "bcrypt", "cryptography"}


blocks = partial(fences, PAGE)


@pytest.fixture(scope="module")
def address() -> str:
    return f"localhost:{free_port()}"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory, address: str) -> Iterator[Path]:
    """The folder of the example, with its server running."""
    folder = tmp_path_factory.mktemp("library")
    (folder / "library.proto").write_text(blocks("proto")[0])
    (folder / "server.py").write_text(blocks("python")[0].replace("localhost:50051", address))
    (line,) = [each for each in blocks("console")[0].splitlines() if "grpc_tools.protoc" in each]
    command = line.removeprefix("$ python").replace("$SITE", sysconfig.get_path("purelib"))
    subprocess.run([sys.executable, *command.split()], cwd=folder, check=True)
    server = subprocess.Popen([sys.executable, "server.py"], cwd=folder)
    try:
        yield folder
    finally:
        server.kill()
        server.wait()


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the gateway alone."""
    folder = tmp_path_factory.mktemp("empty") / "venv"
    made = run("venv", "--python", sys.executable, str(folder))
    assert made.returncode == 0, made.stderr
    python = folder / "bin" / "python"
    installed = run("pip", "install", "--python", str(python), str(ROOT / "gateway"))
    if installed.returncode and MISSING_INDEX.search(installed.stderr):
        pytest.skip(f"no packages can be had: {installed.stderr.strip().splitlines()[-1]}")
    assert installed.returncode == 0, installed.stderr
    return folder


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run uv, which installs from its cache what was installed before."""
    return subprocess.run(
        [UV, *arguments], capture_output=True, text=True, check=False, timeout=300
    )


@pytest.mark.slow
def test_one_command_serves_a_foreign_server(
    environment: Path, library: Path, address: str, tmp_path: Path
) -> None:
    python = environment / "bin" / "python"
    listed = subprocess.check_output([UV, "pip", "list", "--python", python], text=True)
    assert not STRANGERS & set(re.findall(r"^[\w-]+", listed, re.MULTILINE))
    (line,) = [each for each in blocks("console")[0].splitlines() if "lockstep-gateway" in each]
    port = free_port()
    command = line.removeprefix("$ ").removesuffix(" &").replace("localhost:50051", address)
    base = f"http://127.0.0.1:{port}"
    # Of Lockstep's own services, which this process has loaded.
    own = {name: value for name, value in os.environ.items() if name != "GRPC_VERBOSITY"}
    with (tmp_path / "log").open("w+") as log:
        gateway = subprocess.Popen(
            [environment / "bin" / command.split()[0], *command.split()[1:]],
            env=own | {"GATEWAY_PORT": str(port), "GATEWAY_METRICS_PORT": "0"},
            cwd=tmp_path,
            stdout=log,
            stderr=log,
        )
        try:
            for asked, answer in examples():
                headers, url = asked
                url = url.replace("localhost:8080", f"http://127.0.0.1:{port}")
                assert eventually(url, gateway, headers).decode().strip() == answer
            assert b"swagger-ui-bundle.js" in eventually(base + "/docs", gateway)
            assert b'"/v1/books/{name}"' in eventually(base + "/openapi.json", gateway)
        finally:
            gateway.terminate()
            code = gateway.wait(SECONDS_MAX)
            log.seek(0)
            print(written := log.read())
    assert code == 0
    strange = [each for each in written.splitlines() if not LOG_LINE.match(each)]
    assert not strange, "only the gateway itself may write lines"


def examples() -> Iterator[tuple[tuple[dict[str, str], str], str]]:
    """Read the calls of the page: headers and URL, and the answer."""
    for each in blocks("console")[0].split("$ ")[1:]:
        command, _, answer = each.partition("\n")
        match shlex.split(command):
            case ["curl", url]:
                yield ({}, url), answer.strip()
            case ["curl", "-H", header, url]:
                name, _, value = header.partition(": ")
                yield ({name: value}, url), answer.strip()
            case ["curl", *_]:
                raise AssertionError(command)


def eventually(
    url: str, process: subprocess.Popen[bytes], headers: Mapping[str, str] = MappingProxyType({})
) -> bytes:
    until = time.monotonic() + SECONDS_MAX
    request = urllib.request.Request(url, headers=dict(headers))
    while True:
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                content: bytes = answer.read()
                return content
        except OSError:  # it is not there, or the server behind it is not there yet
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.1)


@pytest_asyncio.fixture
async def mounted(library: Path, address: str) -> AsyncIterator[httpx.AsyncClient]:
    """The example of an application that mounts the gateway."""
    (example,) = [each for each in blocks("python") if "app.mount" in each]
    names: dict[str, Any] = {}
    exec(compile(example.replace("localhost:50051", address), "README.md", "exec"), names)
    app = names["app"]
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(app.router.lifespan_context(app))
        transport = httpx.ASGITransport(app)
        client = httpx.AsyncClient(transport=transport, base_url="http://gateway.example/api/")
        yield await stack.enter_async_context(client)


async def test_an_application_mounts_the_gateway(mounted: httpx.AsyncClient) -> None:
    await until_found(
        lambda: mounted.get("readyz"), lambda it: it.status_code == 200, seconds=SECONDS_MAX
    )
    assert (await mounted.get("v1/books/dune")).json() == {"name": "dune", "title": "Dune"}
    assert (await mounted.get("docs")).status_code == 200
    assert "/v1/books/{name}" in (await mounted.get("openapi.json")).json()["paths"]
    assert (await mounted.get("v1/nowhere")).json()["code"] == 5
