"""The gateway as an ASGI application: as it is, and mounted by another application."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import pytest_asyncio
from lockstep_gateway import build
from lockstep_gateway.http.app import Gateway
from lockstep_gateway.http.upstream import Upstream
from lockstep_gateway.openapi.docs import PREFIXES_MAX, api_pages
from protobuf import Registry
from starlette.applications import Starlette
from starlette.routing import Mount

from services.gateway import lockstep
from services.gateway.lockstep import GatewaySettings
from tests.gateway.world import SERVICE, Upstreams

pytestmark = pytest.mark.asyncio(loop_scope="session")

PREFIXES = ["", "/api", "/a b/ü"]


def application(upstream: Upstreams, registry: Registry, **settings: Any) -> Gateway:
    """Build a gateway with no server around it."""
    places = {SERVICE: Upstream(SERVICE, f"127.0.0.1:{upstream.port}")}
    api = build.find_api(registry, places, method_option=lockstep.METHOD_OPTION)
    config = lockstep.gateway_config(GatewaySettings(**settings), is_own=False)
    return build.application(api, api_pages(registry, api.rpcs, ignore_unknown=False), config)


@contextlib.asynccontextmanager
async def client_of(app: Any, prefix: str) -> AsyncIterator[httpx.AsyncClient]:
    base = "http://gateway.example" + quote(prefix)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=base) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="session", params=PREFIXES)
async def client(
    request: pytest.FixtureRequest, upstream: Upstreams, library: Registry, tmp_path: Path
) -> AsyncIterator[httpx.AsyncClient]:
    (tmp_path / "index.html").write_text("<p>hello")
    (tmp_path / "100%25.txt").write_text("escaped")
    (tmp_path / "100%.txt").write_text("plain")
    prefix: str = request.param
    gateway = application(upstream, library, gateway_static=tmp_path)
    app = Starlette(routes=[Mount(prefix, gateway)]) if prefix else gateway
    async with client_of(app, prefix) as made:
        yield made
    await gateway.channels.close()


async def test_routes_are_found_below_the_prefix(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/books/dune")).json()["name"] == "dune"
    assert (await client.get("/v1/books/a%2Fb")).json()["name"] == "a/b"
    assert (await client.get("/v1/files/a%2Fb/c%20d")).json()["name"] == "files/a%2Fb/c d"
    assert (await client.get("/v1/books?pageSize=3")).status_code == 200
    assert (await client.get("/v1/api/v1/books/dune")).status_code == 404


async def test_bodies_are_read(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/everything", json={"one": "x"})
    assert answer.json()["one"] == "x"


async def test_failures_have_their_shape(client: httpx.AsyncClient) -> None:
    for answer in (await client.get("/v1/nowhere"), await client.put("/v1/everything")):
        assert set(answer.json()) == {"code", "message", "details"}


async def test_pages_lead_to_one_another(client: httpx.AsyncClient) -> None:
    assert (await client.get("/healthz")).json() == {"status": "OK"}
    assert (await client.get("/readyz")).json()["status"] == "SERVING"
    page = await client.get("/docs")
    for link in ("docs/swagger-ui-bundle.js", "docs/start.js", "docs/swagger-ui.css"):
        assert link in page.text
        assert (await client.get(str(page.url.join(link)))).status_code == 200
    start = await client.get("/docs/start.js")
    assert 'url: "openapi.json"' in start.text
    described = (await client.get(str(page.url.join("openapi.json")))).json()
    assert described["openapi"]
    # A tool puts the path of an operation behind the server.
    [server] = described["servers"]
    url = server["url"].rstrip("/") + "/v1/books/dune"
    assert (await client.get(str(page.url.join(url)))).json()["name"] == "dune"


async def test_files_are_served_and_their_names_unescaped_once(client: httpx.AsyncClient) -> None:
    assert (await client.get("/")).text == "<p>hello"
    assert (await client.get("/100%25.txt")).text == "plain"
    assert (await client.get("/100%2525.txt")).text == "escaped"
    for path in ("/nothing", "/100%252525.txt", "/..%2Findex.html", "/%00", "/a%00.html"):
        assert (await client.get(path)).status_code == 404


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_a_location_leads_back_below_the_prefix(
    upstream: Upstreams, library: Registry, prefix: str
) -> None:
    async def behave(request: bytes, context: Any) -> bytes:
        await context.send_initial_metadata([("location", "/v1/books/dune")])
        return request

    gateway = application(upstream, library)
    app = Starlette(routes=[Mount(prefix, gateway)]) if prefix else gateway
    with upstream.behaving(behave):
        async with client_of(app, prefix) as client:
            created = await client.post("/v1/books", json={"book": {"name": "dune"}})
            found = await client.get(str(created.url.join(created.headers["location"])))
    assert found.json()["name"] == "dune"
    await gateway.channels.close()


async def test_the_lifespan_opens_the_channels_and_closes_them(
    upstream: Upstreams, library: Registry
) -> None:
    gateway = application(upstream, library)
    to_app, from_app = asyncio.Queue[Any](), asyncio.Queue[Any]()
    life = asyncio.create_task(gateway({"type": "lifespan"}, to_app.get, from_app.put))
    await to_app.put({"type": "lifespan.startup"})
    assert (await from_app.get())["type"] == "lifespan.startup.complete"
    async with client_of(gateway, "") as client:
        assert (await client.get("/v1/books/dune")).status_code == 200
    await to_app.put({"type": "lifespan.shutdown"})
    assert (await from_app.get())["type"] == "lifespan.shutdown.complete"
    await life


async def test_a_prefix_out_of_the_url_is_not_kept_for_ever(
    upstream: Upstreams, library: Registry
) -> None:
    gateway = application(upstream, library)
    app = Starlette(routes=[Mount("/{tenant}", gateway)])
    async with client_of(app, "") as client:
        for i in range(2 * PREFIXES_MAX):
            described = (await client.get(f"/t{i}/openapi.json")).json()
            assert described["servers"] == [{"url": f"/t{i}"}]
    page: Any = gateway.pages["/openapi.json"]
    assert len(page._pages) == PREFIXES_MAX


async def test_a_web_socket_is_refused(upstream: Upstreams, library: Registry) -> None:
    sent = list[Any]()

    async def send(message: Any) -> None:
        sent.append(message["type"])

    await application(upstream, library)({"type": "websocket"}, None, send)  # type: ignore[arg-type]
    assert sent == ["websocket.close"]
