"""The files of a browser client: compressed, and named by their content."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest
from lockstep_gateway.settings import GatewayFields

from tests.gateway.world import World, gateway_for

INDEX = """<!doctype html>
<link rel="icon" href="icon.svg">
<link rel="stylesheet" href="styles/a.css">
<link rel="stylesheet" href="styles/b.css">
<link rel="modulepreload" href="app/main.js">
<a href="/docs">docs</a> <a href="https://example.com/app.js">x</a> <a href="#app/main.js">y</a>
<script type="module" src="app/main.js"></script>
"""
FOR_EVER = "public, max-age=31536000, immutable"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    files = {
        "index.html": INDEX,
        "icon.svg": "<svg/>",
        "styles/a.css": "a{}",
        "styles/b.css": "b{}",
        "app/main.js": "export const text = 1;\n" * 200,
    }
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content)
    return folder


def addresses(index: bytes) -> list[str]:
    return re.findall(r'(?:src|href)="(_/[^"]+)"', index.decode())


async def test_the_index_names_files_that_a_browser_may_keep(world: World, site: Path) -> None:
    async with gateway_for(world.upstream, world.registry, gateway_static=site) as web:
        index = await web.client.get("/")
        assert index.headers["cache-control"] == "no-cache"
        names = [address.partition("/")[2].partition("/")[2] for address in addresses(index.body)]
        assert names == ["icon.svg", "styles/a+b.css", "app/main.js", "app/main.js"]
        for untouched in ('"/docs"', '"https://example.com/app.js"', '"#app/main.js"'):
            assert untouched.encode() in index.body
        for address in addresses(index.body):
            answer = await web.client.get(f"/{address}")
            assert (answer.status, answer.headers["cache-control"]) == (200, FOR_EVER)
            assert "default-src 'self'" in answer.headers["content-security-policy"]
        styles = await web.client.get("/" + addresses(index.body)[1])
        assert styles.body == b"a{}\nb{}"
        assert styles.headers["content-type"] == "text/css; charset=utf-8"


async def test_a_file_is_sent_compressed_and_is_asked_for_by_its_tag(
    world: World, site: Path
) -> None:
    async with gateway_for(world.upstream, world.registry, gateway_static=site) as web:
        script = await web.client.get("/app/main.js", Accept_Encoding="gzip")
        assert script.headers["content-encoding"] == "gzip"
        assert script.headers["cache-control"] == "no-cache"
        assert gzip.decompress(script.body) == (site / "app/main.js").read_bytes()
        again = await web.client.get("/app/main.js", If_None_Match=script.headers["etag"])
        assert (again.status, again.body) == (304, b"")


async def test_a_page_of_another_release_gets_the_present_files_and_keeps_none(
    world: World, site: Path
) -> None:
    async with gateway_for(world.upstream, world.registry, gateway_static=site) as web:
        other = await web.client.get(f"/_/{'0' * 16}/app/main.js")
        assert (other.status, other.headers["cache-control"]) == (200, "no-cache")
        assert (await web.client.get(f"/_/{'0' * 16}/nope.js")).reason == "ROUTE_NOT_FOUND"
        assert (await web.client.get("/_/")).reason == "ROUTE_NOT_FOUND"


async def test_the_version_follows_the_content(world: World, site: Path) -> None:
    async def version() -> str:
        async with gateway_for(world.upstream, world.registry, gateway_static=site) as web:
            return addresses((await web.client.get("/")).body)[0].split("/")[1]

    first = await version()
    assert await version() == first
    (site / "app/main.js").write_text("2")
    assert await version() != first


@pytest.mark.parametrize(
    ("hosts", "sources"),
    [
        ((), "'self'"),
        (
            "https://i.example.com, *.example.org:8443",
            "'self' https://i.example.com *.example.org:8443",
        ),
    ],
)
async def test_pictures_come_from_the_hosts_that_are_named_alone(
    world: World, site: Path, hosts: str | tuple[str, ...], sources: str
) -> None:
    async with gateway_for(
        world.upstream, world.registry, gateway_static=site, gateway_image_hosts=hosts
    ) as web:
        policy = (await web.client.get("/")).headers["content-security-policy"]
    assert f"; img-src {sources};" in policy


@pytest.mark.parametrize("name", ["*", "https:", "a.com; script-src *", "'unsafe-inline'", "data:"])
def test_what_is_no_host_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="must be hosts such as"):
        GatewayFields(gateway_image_hosts=name)  # type: ignore[arg-type]


async def test_large_files_are_sent_in_parts_and_files_outside_never(
    world: World, site: Path, tmp_path: Path
) -> None:
    (site / "film.webm").write_bytes(b"x" * (1024 * 1024 + 1))
    (tmp_path / "secret.txt").write_text("secret")
    (site / "link.txt").symlink_to(tmp_path / "secret.txt")
    async with gateway_for(world.upstream, world.registry, gateway_static=site) as web:
        part = await web.client.get("/film.webm", Range="bytes=0-9")
        assert (part.status, part.body) == (206, b"x" * 10)
        assert (await web.client.get("/link.txt")).status == 404
