"""The benchmark beside Vendure has its parts and says what it needs; npm never runs here."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

import pytest

from tests.bench import rest, vendure_bench, vendure_install
from tests.bench import vendure_queries as queries
from tests.bench.rest import Answer, Request
from tests.bench.vendure_shop import VendureShop

SHOP = VendureShop(
    name="Vendure",
    endpoint="127.0.0.1:1",
    prefix="",
    register_path="",
    url="",
    own_pids=list,
    postgres_pids=list,
    people=[],
    products=["7"],
    product_id="3",
)


def _program(folder: Path, name: str, says: str = "") -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\necho {says}\n")
    path.chmod(0o755)


def test_every_version_is_exact_and_nothing_else_is_locked() -> None:
    for package, version in vendure_install.dependencies().items():
        assert re.fullmatch(r"\d+\.\d+\.\d+", version), package
    files = {path.name for path in vendure_install.PROJECT.iterdir()}
    assert files == {"package.json", "config.js", "server.js", "worker.js", "populate.js"}


def test_without_node_it_ends_with_1_and_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["vendure_bench"])
    with pytest.raises(SystemExit, match=r"no node on the PATH\. Install it .*apt-get install"):
        vendure_bench.main()  # Python ends with 1 when it is given a text


def test_without_npm_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _program(tmp_path, "node", "v20.1.0")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(vendure_install.InstallError, match="no npm on the PATH"):
        vendure_install.install(print)


def test_an_old_node_is_refused_by_its_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _program(tmp_path, "node", "v18.19.0")
    _program(tmp_path, "npm")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(vendure_install.InstallError, match=r"Node 20 or newer .* this is v18\.19"):
        vendure_install.install(print)


def test_an_answer_that_refuses_counts_as_refused_although_its_status_is_200() -> None:
    done = b'{"data":{"addItemToOrder":{"totalQuantity":1}}}'
    refused = b'{"data":{"addItemToOrder":{"errorCode":"INSUFFICIENT_STOCK_ERROR"}}}'
    broken = b'{"errors":[{"message":"deadlock detected"}],"data":null}'
    assert SHOP.is_good(Answer(200, done, 0.1))
    for body in (refused, broken):
        assert not SHOP.is_good(Answer(200, body, 0.1))


def test_a_query_gets_the_variables_that_it_names() -> None:
    request = queries.asked(queries.ONE, id="3", email="unused")
    assert request.body is not None
    assert request.body["variables"] == {"id": "3"}
    assert SHOP.one_product == queries.asked(queries.ONE, id="3")


async def test_a_load_to_the_end_drops_no_answer() -> None:
    came: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append((await reader.readuntil(b"\r\n\r\n")).split(b" ")[1])
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    requests = [Request("/first"), Request("/second")]
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        answers = await rest.repeat(f"{host}:{port}", requests, seconds=0, at_once=4)
    assert sorted(came) == [b"/first", b"/first", b"/second", b"/second"]
    assert [each.status for each in answers] == [200] * 4
