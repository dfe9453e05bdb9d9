"""The relay connects to NATS with credentials and TLS, and to nobody who has no TLS then."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from nats.aio.client import Client
from structlog.testing import capture_logs

from services.common import cert_files
from services.common.files import FileProblem
from services.common.settings import CommonSettings, SettingsError
from services.relay.access import NatsAccess
from services.relay.broker import NOT_CONNECTED, Broker
from services.relay.stream import EventStream
from tests import waiting
from tests.relay.broker import Nats
from tests.relay.nsc import Company

soon = partial(waiting.until, seconds=30)
IGNORED = "change of a file ignored"


@pytest.fixture
def certs(tmp_path: Path) -> Path:
    """Certificates of an authority and of a server."""
    folder = tmp_path / "certs"
    cert_files.initialise(folder, services=["nats"])
    return folder


def secure(certs: Path, company: Company) -> str:
    """Return the configuration of a server that wants TLS and credentials."""
    pair = f'cert_file: "{certs}/nats/cert.pem", key_file: "{certs}/nats/key.pem"'
    return f"{company.configuration}\ntls {{ {pair} }}\n"


@contextmanager
def running(folder: Path, configuration: str) -> Iterator[Nats]:
    with Nats(folder / "nats", configuration).running() as server:
        waiting.wait_until(lambda: listens(server.port))
        yield server


def listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


def access_to(server: Nats, folder: Path, **given: Any) -> NatsAccess:
    return NatsAccess.of(CommonSettings(home=folder, nats_url=server.url, **given))


async def test_a_relay_with_credentials_and_the_authority_makes_a_stream(
    certs: Path, tmp_path: Path
) -> None:
    company, file = Company(), tmp_path / "relay.creds"
    file.write_text(company.credentials())
    with running(tmp_path, secure(certs, company)) as server:
        access = access_to(server, tmp_path, nats_credentials=file, nats_ca=certs / "ca.pem")
        broker = Broker(access, name="test")
        broker.start()
        await soon(lambda: broker.trouble is None)
        stream = EventStream(broker.jetstream(), "auth", kept_days=30, replicas=1)
        assert (await stream.open(["a.B"])).sequence == 0
        # New credentials are there for the next connection, and damaged ones are passed over.
        for content in (company.credentials(), "-----BEGIN NATS"):
            file.write_text(content)
            server.kill()
            await soon(lambda: broker.trouble == NOT_CONNECTED)
            server.start()
            await soon(lambda: broker.trouble is None)
        await broker.stop()


COMMENTS = [b"", "# é\n".encode(), "# é\n".encode("latin-1")]


@pytest.mark.parametrize("comment", COMMENTS, ids=["none", "utf-8", "latin-1"])
async def test_renewed_authorities_count_at_the_next_connection(
    comment: bytes, certs: Path, tmp_path: Path
) -> None:
    other, authorities = tmp_path / "other", tmp_path / "nats.pem"
    cert_files.initialise(other, services=["nats"])
    authorities.write_bytes((certs / "ca.pem").read_bytes())
    async with connected(certs, authorities, tmp_path) as (server, broker):
        server.kill()
        await soon(lambda: broker.trouble == NOT_CONNECTED)
        for name in ("cert.pem", "key.pem"):
            (certs / "nats" / name).write_bytes((other / "nats" / name).read_bytes())
        authorities.write_bytes(comment + (other / "ca.pem").read_bytes())
        server.start()
        await soon(lambda: broker.trouble is None)


async def test_authorities_that_a_renewal_has_damaged_are_passed_over_and_told_once(
    certs: Path, tmp_path: Path
) -> None:
    authorities = tmp_path / "nats.pem"
    authorities.write_bytes((certs / "ca.pem").read_bytes())
    async with connected(certs, authorities, tmp_path) as (server, broker):
        for text in damaged_authorities(certs / "ca.pem"):
            with capture_logs() as lines:
                authorities.write_bytes(text)
                for _ in range(2):
                    server.kill()
                    await soon(lambda: broker.trouble == NOT_CONNECTED)
                    server.start()
                    await soon(lambda: broker.trouble is None)
            told = [each["error"] for each in lines if each["event"] == IGNORED]
            assert len(told) == 1, told
            assert told[0].startswith(f"{authorities} is damaged")


def damaged_authorities(path: Path) -> list[bytes]:
    """Return a file that is cut, one that OpenSSL cannot read, and one of an unknown version."""
    (found,) = x509.load_pem_x509_certificates(path.read_bytes())
    der = found.public_bytes(Encoding.DER)
    damages = {b"Lockstep": b"\xffockstep", b"\xa0\x03\x02\x01\x02": b"\xa0\x03\x02\x01\x07"}
    assert all(old in der for old in damages)
    changed = [der.replace(*each) for each in damages.items()]
    return [
        b"-----BEGIN CERTIFICATE-----\nMII",
        *(ssl.DER_cert_to_PEM_cert(each).encode() for each in changed),
    ]


@asynccontextmanager
async def connected(
    certs: Path, authorities: Path, folder: Path
) -> AsyncIterator[tuple[Nats, Broker]]:
    """Run a server and a broker that is connected to it."""
    company, file = Company(), folder / "relay.creds"
    file.write_text(company.credentials())
    with running(folder, secure(certs, company)) as server:
        access = access_to(server, folder, nats_credentials=file, nats_ca=authorities)
        broker = Broker(access, name="test")
        broker.start()
        await soon(lambda: broker.trouble is None)
        yield server, broker
        await broker.stop()


async def test_a_broker_goes_on_after_an_error_that_nobody_expects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.relay.broker.RECONNECT_SECONDS", 0)
    access = NatsAccess.of(CommonSettings(home=tmp_path, nats_url="nats://127.0.0.1:1"))
    monkeypatch.setattr(NatsAccess, "options", lambda _: 1 // 0)
    with capture_logs() as lines:
        broker = Broker(access, name="test")
        broker.start()
        await soon(lambda: [each["event"] for each in lines].count("cannot connect to NATS") > 1)
        await broker.stop()


async def refused(access: NatsAccess) -> str:
    """Return why a broker does not connect."""
    with capture_logs() as lines:
        broker = Broker(access, name="test")
        broker.start()
        await soon(lambda: [each for each in lines if each["event"] == NOT_CONNECTED])
        assert broker.trouble == NOT_CONNECTED
        await broker.stop()
    return str(lines[0]["error"])


async def test_a_server_of_another_authority_and_a_stranger_are_refused(
    certs: Path, tmp_path: Path
) -> None:
    other, file = tmp_path / "other", tmp_path / "relay.creds"
    cert_files.initialise(other, services=["nats"])
    company = Company()
    with running(tmp_path, secure(certs, company)) as server:
        file.write_text(company.credentials())
        access = access_to(server, tmp_path, nats_credentials=file, nats_ca=other / "ca.pem")
        assert "certificate verify failed" in await refused(access)
        file.write_text(Company().credentials())
        access = access_to(server, tmp_path, nats_credentials=file, nats_ca=certs / "ca.pem")
        assert "Authorization Violation" in await refused(access)


@pytest.mark.parametrize("has_authority", [False, True])
async def test_a_server_without_tls_is_told_no_password(
    certs: Path, tmp_path: Path, has_authority: bool
) -> None:
    """Tells, too, when nats-py no longer calls the private method that access.py overrides."""
    heard = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        info = json.dumps({"server_id": "a", "version": "2.12.0", "auth_required": True})
        writer.write(f"INFO {info}\r\n".encode())
        heard.extend(await reader.read())
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        scheme, ca = ("nats", certs / "ca.pem") if has_authority else ("tls", None)
        url = f"{scheme}://user:secret@127.0.0.1:{port}"
        access = NatsAccess.of(CommonSettings(home=tmp_path, nats_url=url, nats_ca=ca))
        assert "must require TLS" in await refused(access)
    assert heard == b""


async def test_a_version_of_nats_py_that_lets_nobody_look_at_the_server_connects_to_none(
    certs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(Client, "_connect_command")
    async with await asyncio.start_server(lambda *_: None, "127.0.0.1", 0) as listening:
        url = f"nats://user:secret@127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        settings = CommonSettings(home=tmp_path, nats_url=url, nats_ca=certs / "ca.pem")
        assert "nats-py 2.16" in await refused(NatsAccess.of(settings))


def without(word: str) -> Callable[[str], str]:
    return lambda text: text.replace(word, "")


def another_seed(text: str) -> str:
    place = text.index("\nSU") + 20
    return text[:place] + ("A" if text[place] != "A" else "B") + text[place + 1 :]


DAMAGES: dict[str, tuple[Callable[[str], str] | None, str]] = {
    "missing": (None, "is missing: make it with"),
    "empty": (lambda _: "", "is empty: make it with"),
    "without a JWT": (without("BEGIN NATS USER JWT"), "is damaged: it must hold a JWT and"),
    "with a JWT that is no text": (
        lambda text: text.replace("eyJ", "ü", 1),
        "is damaged: it must hold a JWT and",
    ),
    "without a seed": (without("BEGIN USER NKEY SEED"), "is damaged: it must hold a JWT and"),
    "with a wrong seed": (another_seed, "is damaged: it must hold a JWT and"),
    "binary": (lambda _: "\0\x7f", "is damaged: it must hold a JWT and"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_credentials_that_cannot_be_used_are_one_line_with_the_remedy(
    name: str, tmp_path: Path
) -> None:
    damage, told = DAMAGES[name]
    file = tmp_path / "relay.creds"
    if damage is not None:
        file.write_text(damage(Company().credentials()), encoding="utf-8")
    with pytest.raises(FileProblem) as caught:
        NatsAccess.of(CommonSettings(nats_url="nats://a:4222", nats_credentials=file))
    text = str(caught.value)
    assert text.startswith(f"{file} {told}")
    assert text.endswith("or change LOCKSTEP_NATS_CREDENTIALS")
    assert "\n" not in text


@pytest.mark.parametrize("content", [None, "", "-----BEGIN CERTIFICATE-----\nMII", "nothing"])
def test_authorities_that_cannot_be_used_are_one_line_with_the_remedy(
    content: str | None, tmp_path: Path
) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(FileProblem) as caught:
        NatsAccess.of(CommonSettings(nats_url="nats://a:4222", nats_ca=file))
    assert str(caught.value).endswith("or change LOCKSTEP_NATS_CA")
    assert "\n" not in str(caught.value)


def test_a_relay_needs_a_server() -> None:
    with pytest.raises(SettingsError, match="LOCKSTEP_NATS_URL"):
        NatsAccess.of(CommonSettings())
