"""TLS at the edge, and the renewal of its certificate."""

from __future__ import annotations

import asyncio
import hashlib
import signal
import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest
from lockstep_gateway.http import certificates
from lockstep_gateway.http.config import Certificate

from services.cli.health import is_serving
from tests.gateway.http import Answer, read_answer
from tests.gateway.test_process import certificate, failure_of, port_of, process
from tests.gateway.world import SERVICE, World, gateway_for

pytestmark = pytest.mark.asyncio(loop_scope="session")

REQUEST = b"GET /v1/books/dune HTTP/1.1\r\nHost: localhost\r\n"


def fingerprint(public: bytes) -> str:
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(public.decode())).hexdigest()


class Pair:
    """The files of a certificate and its key."""

    def __init__(self, folder: Path) -> None:
        self.cert, self.key = folder / "edge.pem", folder / "edge.key"
        self.public = b""

    def renew(self) -> str:
        """Write a new pair and return the fingerprint of its certificate."""
        private, self.public = certificate()
        for path, content in ((self.key, private), (self.cert, self.public)):
            new = path.with_suffix(".new")
            new.write_bytes(content)
            new.replace(path)
        return fingerprint(self.public)

    @property
    def settings(self) -> dict[str, Any]:
        return {"gateway_tls_cert": self.cert, "gateway_tls_key": self.key}


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    pair = Pair(tmp_path)
    pair.renew()
    return pair


def blind() -> ssl.SSLContext:
    """Accept any certificate: the test compares its fingerprint."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Session:
    """A connection that is kept, until an answer says that it ends."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.fingerprint = ""

    async def get(self, *, keep: bool = True) -> Answer:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port, ssl=blind())
            peer = self._streams[1].get_extra_info("ssl_object").getpeercert(binary_form=True)
            self.fingerprint = hashlib.sha256(peer).hexdigest()
        reader, writer = self._streams
        writer.write(REQUEST + (b"\r\n" if keep else b"Connection: close\r\n\r\n"))
        async with asyncio.timeout(30):
            answer = await read_answer(reader)
        if not keep or answer.headers.get("connection") == "close":
            await self.end()
        return answer

    async def end(self) -> None:
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None


async def fingerprint_of(port: int) -> str:
    session = Session(port)
    await session.get(keep=False)
    return session.fingerprint


async def until_served(port: int, fingerprint: str) -> None:
    """Wait until new connections meet only this certificate."""
    async with asyncio.timeout(60):
        while {await fingerprint_of(port) for _ in range(5)} != {fingerprint}:
            pass


def listeners() -> int:
    return sum(task.get_name() == "http" for task in asyncio.all_tasks())


async def test_a_client_that_trusts_the_certificate_is_served(world: World, pair: Pair) -> None:
    trust = ssl.create_default_context(cadata=pair.public.decode())
    async with gateway_for(world.upstream, world.registry, **pair.settings) as secure:
        url = f"https://localhost:{secure.client.port}"
        async with httpx.AsyncClient(verify=trust, base_url=url) as client:
            answer = await client.get("/v1/books/dune")
        assert (answer.status_code, answer.json()["name"]) == (200, "dune")
        assert answer.headers["strict-transport-security"] == "max-age=31536000"
        assert await is_serving(f"https://127.0.0.1:{secure.client.port}")
        assert not await is_serving(f"http://127.0.0.1:{secure.client.port}")
    plain = await world.client.get("/v1/books/dune")
    assert "strict-transport-security" not in plain.headers


async def test_a_renewal_fails_no_request(world: World, pair: Pair) -> None:
    stop, answers = asyncio.Event(), list[int]()

    async def ask(port: int, *, keep: bool) -> None:
        session = Session(port)
        while not stop.is_set():
            answers.append((await session.get(keep=keep)).status)
        await session.end()

    async with gateway_for(world.upstream, world.registry, **pair.settings) as secure:
        port, before = secure.client.port, listeners()
        async with asyncio.TaskGroup() as group, asyncio.timeout(180):
            for keep in (True, False, False):
                group.create_task(ask(port, keep=keep))
            for _ in range(3):
                renewed = pair.renew()
                signal.raise_signal(signal.SIGHUP)
                await until_served(port, renewed)
            while listeners() > before:  # the old ones end under load
                await fingerprint_of(port)
            stop.set()
    assert len(answers) > 50
    assert set(answers) == {200}


async def test_half_a_renewal_keeps_the_old_certificate(
    world: World, pair: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    async with gateway_for(world.upstream, world.registry, **pair.settings) as secure:
        port = secure.client.port
        old = await fingerprint_of(port)
        other_key, other_cert = certificate()
        pair.cert.write_bytes(other_cert)
        signal.raise_signal(signal.SIGHUP)
        async with asyncio.timeout(10):
            while "certificate refused" not in capsys.readouterr().out:
                assert await fingerprint_of(port) == old
        pair.key.write_bytes(other_key)
        signal.raise_signal(signal.SIGHUP)
        await until_served(port, fingerprint(other_cert))


async def test_the_process_stops_in_order_with_tls(
    world: World, library_file: Path, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCKSTEP_GATEWAY_TLS_CERT", str(pair.cert))
    monkeypatch.setenv("LOCKSTEP_GATEWAY_TLS_KEY", str(pair.key))
    place = f"{SERVICE}=127.0.0.1:{world.upstream.port}"
    given = ("--descriptors", str(library_file), "--upstream", place, "--port", "0")
    async with process(*given) as started, asyncio.timeout(60):
        port = await port_of(started)
        assert (await Session(port).get(keep=False)).status == 200
        renewed = pair.renew()
        started.send_signal(signal.SIGHUP)
        await until_served(port, renewed)
        started.send_signal(signal.SIGTERM)
        assert await started.wait() == 0


@pytest.mark.parametrize("damage", ["missing", "empty", "other", "encrypted", "folder"])
async def test_a_certificate_that_cannot_be_used_is_refused_in_one_line(
    pair: Pair, damage: str
) -> None:
    match damage:
        case "missing":
            pair.key.unlink()
        case "empty":
            pair.cert.write_bytes(b"")
        case "other":
            pair.key.write_bytes(certificate()[0])
        case "encrypted":
            pair.key.write_bytes(encrypted())
        case "folder":
            pair.key.unlink()
            pair.key.mkdir()
    with pytest.raises(OSError, match="cannot use the certificate") as raised:
        certificates.check(Certificate(pair.cert, pair.key))
    assert "\n" not in str(raised.value)
    assert str(pair.cert) in str(raised.value)


def encrypted() -> bytes:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )


async def test_a_certificate_without_its_key_is_a_wrong_setting(
    monkeypatch: pytest.MonkeyPatch, pair: Pair, library_file: Path
) -> None:
    given = ("--descriptors", str(library_file), "--upstream", f"{SERVICE}=127.0.0.1:1")
    monkeypatch.setenv("LOCKSTEP_GATEWAY_TLS_CERT", str(pair.cert))
    assert "must be set together with LOCKSTEP_GATEWAY_TLS_CERT" in await failure_of()
    monkeypatch.setenv("LOCKSTEP_GATEWAY_TLS_KEY", str(pair.cert.with_name("absent")))
    text = await failure_of(*given, "--port", "0")
    assert text.startswith("gateway: cannot use the certificate ")
    assert len(text.splitlines()) == 1
