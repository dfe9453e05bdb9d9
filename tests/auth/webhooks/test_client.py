"""Posts to URLs of others end, whatever the others do."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.auth.domain.public_addresses import Resolver
from services.auth.domain.webhook_client import ANSWER_BYTES_MAX, PostOutcome, WebhookClient
from services.common import cert_files
from tests.auth.webhooks.receiver import Answer, receiving

LIMIT_SECONDS = 1.0
PATIENCE_SECONDS = 30.0
CHUNK = b"x" * 65536


async def silence(_writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def slow_header(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"x: y\r\n")
        await writer.drain()
        await asyncio.sleep(0.02)


async def endless_header(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nx: ")
    while True:
        writer.write(CHUNK)
        await writer.drain()


async def endless_lines(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)
        await writer.drain()


async def huge_body(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10000000000\r\n\r\n")
    while True:
        writer.write(CHUNK)
        await writer.drain()


async def redirect(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 307 Go\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n")
    await writer.drain()


async def nonsense(writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
    await writer.drain()


async def nothing(_writer: asyncio.StreamWriter) -> None:
    pass


CASES: dict[str, tuple[Answer, PostOutcome]] = {
    "hangs": (silence, PostOutcome(error="timed out")),
    "sends a header slowly": (slow_header, PostOutcome(error="timed out")),
    "sends a header without end": (endless_header, PostOutcome(error="answer too long")),
    "sends lines without end": (endless_lines, PostOutcome(error="answer too long")),
    "sends 10 GB": (huge_body, PostOutcome(status=200)),
    "redirects": (redirect, PostOutcome(status=307, error="status 307")),
    "speaks something else": (nonsense, PostOutcome(error="broken answer")),
    "closes": (nothing, PostOutcome(error="broken answer")),
}


@pytest.fixture
def resolver() -> Iterator[Resolver]:
    """A resolver that allows loopback."""
    made = Resolver(allows_private=True)
    yield made
    made.close()


@pytest.fixture
def client(resolver: Resolver) -> WebhookClient:
    """A client that may go to loopback."""
    return WebhookClient(resolver, seconds=PATIENCE_SECONDS)


@pytest.mark.parametrize("name", CASES)
async def test_a_receiver_costs_bounded_time_and_bytes(resolver: Resolver, name: str) -> None:
    answer, expected = CASES[name]
    ends_by_the_clock = expected.error == "timed out"
    seconds = LIMIT_SECONDS if ends_by_the_clock else PATIENCE_SECONDS
    async with receiving(answer) as receiver, asyncio.timeout(2 * PATIENCE_SECONDS):
        client = WebhookClient(resolver, seconds=seconds)
        outcome = await client.post(receiver.url, b"{}", {"webhook-id": "1"})
        assert outcome == expected
        assert len(receiver.got) == 1  # nothing was followed or repeated


async def test_a_post_arrives_as_it_was_sent(client: WebhookClient) -> None:
    async with receiving() as receiver:
        outcome = await client.post(f"{receiver.url}?a=b", b'{"a":1}', {"webhook-id": "1"})
        assert outcome == PostOutcome(status=204)
        [got] = receiver.got
        assert (got.path, got.body, got.headers["webhook-id"]) == ("/hook?a=b", '{"a":1}', "1")
        assert got.headers["host"] == receiver.url.split("/")[2]


async def test_nobody_listens(client: WebhookClient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    outcome = await client.post(f"http://127.0.0.1:{port}/", b"{}", {})
    assert outcome == PostOutcome(error="connection failed")


async def test_a_certificate_of_nobody_is_refused(client: WebhookClient, tmp_path: Path) -> None:
    cert_files.initialise(tmp_path / "certs", services=["auth"])
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "certs/auth/cert.pem", tmp_path / "certs/auth/key.pem")
    async with receiving(ssl=tls) as receiver:
        outcome = await client.post(receiver.url, b"{}", {})
        assert outcome == PostOutcome(error="TLS failed")
        assert receiver.got == []


async def test_private_addresses_are_not_called() -> None:
    resolver = Resolver(allows_private=False)
    client = WebhookClient(resolver, seconds=PATIENCE_SECONDS)
    try:
        async with receiving() as receiver:
            port = receiver.url.split(":")[2].split("/")[0]
            for host in ("127.0.0.1", "localhost", "2130706433", "[::ffff:127.0.0.1]"):
                outcome = await client.post(f"http://{host}:{port}/", b"{}", {})
                assert outcome == PostOutcome(error="private address"), host
            assert receiver.got == []
    finally:
        resolver.close()


@pytest.mark.parametrize("mixed", [False, True])
async def test_a_name_whose_addresses_change_leads_nowhere_else(
    monkeypatch: pytest.MonkeyPatch, mixed: bool
) -> None:
    """The first answer is public; a second look would lead to loopback."""
    resolver = Resolver(allows_private=False)
    client = WebhookClient(resolver, seconds=PATIENCE_SECONDS)
    looks: list[str] = []
    connected: list[str] = []
    look_up = socket.getaddrinfo

    def changing(host: Any, port: Any, *args: Any, **more: Any) -> Any:
        if host != "changing.example":
            return look_up(host, port, *args, **more)
        looks.append(host)
        public = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.216.34", port))
        private = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))
        if mixed:
            return [public, private]
        return [public] if len(looks) == 1 else [private]

    async def connect_tcp(_self: Any, host: str, *args: Any) -> Any:
        connected.append(host)
        raise OSError("no route")

    monkeypatch.setattr(socket, "getaddrinfo", changing)
    monkeypatch.setattr("httpcore.AnyIOBackend.connect_tcp", connect_tcp)
    try:
        async with receiving() as receiver:
            port = receiver.url.split(":")[2].split("/")[0]
            outcome = await client.post(f"http://changing.example:{port}/", b"{}", {})
            assert receiver.got == []
    finally:
        resolver.close()
    assert looks == ["changing.example"]
    if mixed:
        assert (outcome.error, connected) == ("private address", [])
    else:
        assert (outcome.error, connected) == ("connection failed", ["93.184.216.34"])


def test_an_answer_is_read_up_to_a_small_limit() -> None:
    assert ANSWER_BYTES_MAX <= 64 * 1024
