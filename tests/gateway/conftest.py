"""One gateway and one gRPC server for all tests that need nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from lockstep_gateway.binding import descriptors
from protobuf import Registry

from tests.gateway.world import PROTOS, Upstreams, World, compile_protos, echoing, gateway_for


@pytest.fixture(scope="session")
def library_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("library") / "library.binpb"
    compile_protos(PROTOS, path, "acme/library/v1/library.proto")
    return path


@pytest.fixture(scope="session")
def library(library_file: Path) -> Registry:
    return descriptors.load(library_file.read_bytes())


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def upstream() -> AsyncIterator[Upstreams]:
    async with echoing() as upstreams:
        yield upstreams


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def world(upstream: Upstreams, library: Registry) -> AsyncIterator[World]:
    async with gateway_for(upstream, library) as made:
        yield made
