"""The cases that every correct transcoder must handle alike, against Envoy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.gateway.cases import Case, matching
from tests.gateway.envoy import envoy_running
from tests.gateway.http import Client
from tests.gateway.test_requests import ARRIVING, REFUSED, message
from tests.gateway.world import SERVICE, World

pytestmark = pytest.mark.asyncio(loop_scope="session")

SHARED = [case for case in [*ARRIVING, *REFUSED] if not case.envoy]
DIFFERENT = [
    case
    for case in [*ARRIVING, *matching.NOT_FOUND]
    if case.envoy and case.status != 400  # each transcoder describes errors in its own way
]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def envoy_client(
    world: World, library_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Client]:
    folder = tmp_path_factory.mktemp("envoy")
    async with envoy_running(folder, library_file, [SERVICE], world.upstream.port) as (port, _):
        client = Client(port)
        async with asyncio.timeout(10):  # Envoy may connect to the service after its start
            while (await client.get("/v1/books/dune")).status != 200:
                pass
        yield client


@pytest.mark.parametrize("case", SHARED, ids=str)
async def test_envoy_has_the_same_opinion(world: World, envoy_client: Client, case: Case) -> None:
    assert await agrees(world, envoy_client, case)


@pytest.mark.parametrize("case", DIFFERENT, ids=str)
async def test_envoy_differs_where_the_tables_say_so(
    world: World, envoy_client: Client, case: Case
) -> None:
    assert not await agrees(world, envoy_client, case), "no difference any more: say so"


async def agrees(world: World, client: Client, case: Case) -> bool:
    """Tell whether Envoy handles a case as the table says."""
    method, target = case.request.split(" ")
    try:
        async with asyncio.timeout(5):
            answer = await client.send(method, target, case.body, headers=case.headers)
    except (TimeoutError, asyncio.IncompleteReadError):
        return False
    if answer.status != case.status or case.status != 200:
        return answer.status == case.status
    path, data, _, _ = world.upstream.calls[-1]
    if path != f"/{SERVICE}/{case.rpc}":
        return False
    return bool(message(world, case.rpc, data) == case.arrived)
