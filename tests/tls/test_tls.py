"""TLS between services: files that cannot be used, renewals, and who has which certificate."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from google.protobuf.wrappers_pb2 import StringValue
from lockstep_clients import TlsFiles, connect
from lockstep_clients import tls as client_tls
from structlog.testing import capture_logs

from services.auth import __main__ as auth_main
from services.cli import checks
from services.cli.system import System
from services.common import cert_files
from services.common.files import FileProblem
from services.common.settings import CommonSettings
from services.common.tls import Tls, observe_ends, service_tls, tls_of
from services.kernel.rpc.call import Call
from services.kernel.telemetry.metrics import Telemetry
from tests.kernel.probe import World, probing
from tests.telemetry.test_metrics import read

OPEN = "/lockstep.probe.v1.Probe/Open"
SERVE = "/lockstep.probe.v1.Probe/Serve"
SERVICES = ("probe", "auth", "profile")


@pytest.fixture
def certs(tmp_path: Path) -> Path:
    folder = tmp_path / "certs"
    cert_files.initialise(folder, services=SERVICES)
    return folder


@pytest.fixture(autouse=True)
def _look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_tls, "LOOK_SECONDS", 0.0)


def tls(certs: Path, name: str = "probe", mode: str = "mutual") -> Tls:
    found = tls_of(CommonSettings(tls=mode, certs=certs), name)  # type: ignore[arg-type]
    assert found is not None
    return found


@asynccontextmanager
async def serving(certs: Path, mode: str = "mutual") -> AsyncIterator[World]:
    found = tls(certs, mode=mode)
    async with probing(tls=found.server_credentials(), checks_peers=found.is_mutual) as world:
        yield world


async def ask(world: World, own: Tls | TlsFiles, path: str = OPEN, **metadata: str) -> bytes:
    """Call the probe once."""
    target = f"127.0.0.1:{world.port}"
    async with connect(target, audience="probe", tls=own) as channel:
        call: Any = channel.unary_unary(path)
        answer: bytes = await call(b"", timeout=5, metadata=tuple(metadata.items()))
        return answer


def serial(port: int, ca: Path) -> int:
    """Return the number of the certificate that a server has (without mutual TLS)."""
    text = ssl.get_server_certificate(("127.0.0.1", port), ca_certs=str(ca), timeout=10)
    return x509.load_pem_x509_certificate(text.encode()).serial_number


# --- files


def cut(certs: Path, name: str) -> None:
    path = certs / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def swap(certs: Path, one: str, other: str) -> None:
    first, second = (certs / one).read_bytes(), (certs / other).read_bytes()
    (certs / one).write_bytes(second)
    (certs / other).write_bytes(first)


def folder_for(certs: Path, name: str) -> None:
    (certs / name).unlink()
    (certs / name).mkdir()


def remove(certs: Path, name: str) -> None:
    (certs / name).unlink()


def write(certs: Path, name: str, content: bytes) -> None:
    (certs / name).write_bytes(content)


def _on(spoil: Callable[[Path, str], object], name: str) -> Callable[[Path], object]:
    return lambda certs: spoil(certs, name)


FILES = ("ca.pem", "probe/cert.pem", "probe/key.pem")
Damage = Callable[[Path], object]
OF_ONE_FILE: dict[str, tuple[Callable[[Path, str], object], str]] = {
    "missing": (remove, "is missing: run"),
    "empty": (partial(write, content=b""), "is empty:"),
    "cut": (cut, "is damaged: it must hold"),
    "a folder": (folder_for, "is a folder, but"),
    "of another type": (partial(write, content=b"\x30\x82 DER"), "is damaged"),
}
DAMAGES: dict[str, tuple[Damage, str]] = {
    **{
        f"{name} {how}": (_on(spoil, name), wanted)
        for name in FILES
        for how, (spoil, wanted) in OF_ONE_FILE.items()
    },
    "cert and key swapped": (
        lambda c: swap(c, "probe/cert.pem", "probe/key.pem"),
        "must hold certificates",
    ),
    "the key of another": (
        lambda c: (c / "probe/key.pem").write_bytes((c / "auth/key.pem").read_bytes()),
        "is not the key of",
    ),
    "authority and cert swapped": (lambda c: swap(c, "ca.pem", "probe/cert.pem"), "is not the key"),
    "a service's certificate for the authority": (
        lambda c: (c / "ca.pem").write_bytes((c / "auth/cert.pem").read_bytes()),
        "must hold the certificate of an authority",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_files_that_cannot_be_used_are_told_in_one_line(certs: Path, damage: str) -> None:
    spoil, wanted = DAMAGES[damage]
    spoil(certs)
    with pytest.raises(FileProblem) as caught:
        tls(certs)
    text = str(caught.value)
    assert wanted in text
    assert "\n" not in text
    assert str(certs) in text


@pytest.mark.parametrize("how", [*OF_ONE_FILE, "its chain cut"])
def test_the_status_reads_certificates_as_strictly_as_the_processes(
    certs: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    edge, service = certs / "edge.pem", certs / "auth/cert.pem"
    text = service.read_bytes()
    for path in (edge, service):
        path.write_bytes(text)
        if how == "its chain cut":
            path.write_bytes(text + text[: len(text) // 2])
        elif (path, how) != (service, "missing"):  # nothing tells that it should be there
            OF_ONE_FILE[how][0](path.parent, path.name)
    told = {"TLS": "mutual", "CERTS": certs, "GATEWAY_TLS_CERT": edge, "GATEWAY_TLS_KEY": edge}
    for name, value in told.items():
        monkeypatch.setenv(f"LOCKSTEP_{name}", str(value))

    troubles = {each.subject: each.trouble for each in checks.certificates(System())}

    assert str(edge) in str(troubles["LOCKSTEP_GATEWAY_TLS_CERT"])
    assert "lockstep certs" not in str(troubles["LOCKSTEP_GATEWAY_TLS_CERT"])
    assert troubles["certs/probe"] is None
    if how != "missing":
        assert str(service) in str(troubles["certs/auth"])


def test_a_certificate_that_has_expired_is_refused(
    certs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cert_files, "DAYS", -1)
    monkeypatch.setattr(cert_files, "CLOCKS_DIFFER", timedelta(days=2))
    cert_files.renew(certs)
    with pytest.raises(FileProblem, match="has expired at"):
        tls(certs)


def test_a_process_ends_with_the_line(
    keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = structlog.get_config()
    for name, value in {"KEYS": str(keys), "TLS": "mutual", "CERTS": str(tmp_path)}.items():
        monkeypatch.setenv(f"LOCKSTEP_{name}", value)
    with pytest.raises(SystemExit) as caught:
        auth_main.main()
    structlog.configure(**before)
    assert str(caught.value).startswith(f"auth: {tmp_path}/auth/cert.pem is missing: run `lockstep")


# --- connections


@pytest.mark.parametrize("mode", ["server", "mutual"])
async def test_a_call_is_answered_over_tls(certs: Path, mode: str) -> None:
    async with serving(certs, mode) as world:
        await ask(world, tls(certs, "auth", mode))
        assert (await world.refused(seconds=1)).code is grpc.StatusCode.UNAVAILABLE


async def test_callers_without_a_certificate_are_refused_in_mutual_mode(certs: Path) -> None:
    async with serving(certs) as world:
        with pytest.raises(Exception, match=r"UNAVAILABLE|DEADLINE"):
            await ask(world, TlsFiles(certs / "ca.pem"))


async def test_a_server_that_is_not_the_called_one_is_refused(certs: Path) -> None:
    async with (
        probing(tls=tls(certs, "profile", "server").server_credentials()) as world,
    ):
        with pytest.raises(Exception, match=r"UNAVAILABLE|DEADLINE"):
            await ask(world, tls(certs, "auth", "server"))


async def test_a_service_token_is_of_no_use_with_another_certificate(certs: Path) -> None:
    async with serving(certs) as world:
        await ask(world, tls(certs, "auth"), SERVE, **world.service("auth"))
        with pytest.raises(Exception, match="UNAUTHENTICATED"):
            await ask(world, tls(certs, "profile"), SERVE, **world.service("auth"))


async def test_a_spiffe_id_names_the_caller(certs: Path) -> None:
    seen = list[frozenset[str]]()

    async def look(request: StringValue, call: Call) -> StringValue:
        from services.kernel.rpc.peers import names_of

        seen.append(names_of({"peer_spiffe_id": call.certificate()["peer_spiffe_id"]}))
        return request

    async with serving(certs) as world:
        world.servicer.behaviour = look
        await ask(world, tls(certs, "auth"))
    assert seen == [{"auth"}]


# --- renewals


async def test_a_renewed_certificate_is_served_and_half_of_one_is_not(certs: Path) -> None:
    async with serving(certs, "server") as world:
        ca, port = certs / "ca.pem", world.port
        first = await asyncio.to_thread(serial, port, ca)
        old = (certs / "probe/key.pem").read_bytes()
        cert_files.renew(certs)
        new = (certs / "probe/key.pem").read_bytes()
        (certs / "probe/key.pem").write_bytes(old)
        with capture_logs() as logged:
            assert await asyncio.to_thread(serial, port, ca) == first
            assert await asyncio.to_thread(serial, port, ca) == first
        assert [each["event"] for each in logged] == ["certificate refused"]
        (certs / "probe/key.pem").write_bytes(new)
        second = await asyncio.to_thread(serial, port, ca)
        assert second != first
        own = x509.load_pem_x509_certificate((certs / "probe/cert.pem").read_bytes())
        assert second == own.serial_number


async def test_a_channel_opens_anew_and_lets_its_calls_end(certs: Path) -> None:
    entered, go_on = asyncio.Event(), asyncio.Event()
    serials = list[int]()

    async def wait(request: StringValue, call: Call) -> StringValue:
        [text] = call.certificate()["x509_pem_cert"]
        serials.append(x509.load_pem_x509_certificate(text).serial_number)
        if request.value == "slow":
            entered.set()
            await go_on.wait()
        return request

    async with serving(certs) as world:
        world.servicer.behaviour = wait
        target = f"127.0.0.1:{world.port}"
        async with connect(target, audience="probe", tls=tls(certs, "auth")) as channel:
            method: Any = channel.unary_unary(OPEN)
            slow = asyncio.ensure_future(_answer(method, "slow"))
            await entered.wait()
            cert_files.renew(certs)
            assert await _answer(method, "new") == "new"
            assert len(set(serials)) == 2
            before = channel._before[0]  # type: ignore[attr-defined]
            assert before.closing is None
            go_on.set()
            assert await slow == "slow"
            async with asyncio.timeout(10):
                while before.closing is None:  # noqa: ASYNC110 - its end calls back
                    await asyncio.sleep(0)
                await before.closing
            assert await _answer(method, "again") == "again"
            (certs / "auth/cert.pem").write_bytes(b"half")
            assert await _answer(method, "still") == "still"


async def _answer(method: Callable[..., object], text: str) -> str:
    call = method(StringValue(value=text).SerializeToString(), timeout=10)
    return StringValue.FromString(await call).value  # type: ignore[misc]


async def test_files_of_a_client_that_do_not_fit_keep_the_old_ones(certs: Path) -> None:
    own = TlsFiles(certs / "ca.pem", certs / "auth/cert.pem", certs / "auth/key.pem")
    async with serving(certs) as world:
        target = f"127.0.0.1:{world.port}"
        async with connect(target, audience="probe", tls=own) as channel:
            method: Any = channel.unary_unary(OPEN)
            await _answer(method, "one")
            (certs / "auth/key.pem").write_bytes((certs / "profile/key.pem").read_bytes())
            assert await _answer(method, "two") == "two"
    with pytest.raises(ValueError, match="is not the key of"):
        own.channel_credentials()


# --- what operators see


def test_the_time_that_is_left_is_a_metric(certs: Path) -> None:
    telemetry, own = Telemetry("probe"), tls(certs)
    observe_ends(telemetry.meter, {"rpc": lambda: own.pair.ends})
    [(labels, seconds)] = read(telemetry)["lockstep_certificate_expiry_seconds"]
    assert labels == {"lockstep_certificate_use": "rpc"}
    assert 89 * 86400 < seconds < 90 * 86400


@pytest.mark.parametrize(
    ("host", "mode", "warned"),
    [("0.0.0.0", "off", 1), ("127.0.0.1", "off", 0), ("0.0.0.0", "server", 0)],
)
def test_plain_text_on_a_network_is_warned_of(
    certs: Path, host: str, mode: str, warned: int
) -> None:
    with capture_logs() as logged:
        settings = CommonSettings(host=host, certs=certs, tls=mode)  # type: ignore[arg-type]
        service_tls(settings, "probe")
    assert [each["event"] for each in logged] == ["no tls"] * warned


def sign_by_rsa(folder: Path) -> None:
    """Put an authority into a folder that signs by RSA."""
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Another authority")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (folder / "ca.pem").write_bytes(certificate.public_bytes(pem))
    text = key.private_bytes(pem, pkcs8, serialization.NoEncryption())
    (folder / "ca-key.pem").write_bytes(text)


def test_certificates_are_renewed_with_their_names_and_further_ones(tmp_path: Path) -> None:
    made = cert_files.initialise(tmp_path, {"auth": ["auth.internal", "10.0.0.5"]})
    assert made == ["auth", "profile", "commerce", "gateway", "operator"]
    assert cert_files.initialise(tmp_path) == []
    cert_files.renew(tmp_path, {"auth": ["other.internal"]})
    found = {each.service: each for each in cert_files.listed(tmp_path)}
    names = {"auth", "localhost", "127.0.0.1", "::1", "auth.internal", "10.0.0.5", "other.internal"}
    assert set(found["auth"].names) == names
    assert not (tmp_path / "ca-key.pem").stat().st_mode & 0o077
    sign_by_rsa(tmp_path)
    with pytest.raises(FileProblem, match="must hold a private key on an elliptic curve"):
        cert_files.renew(tmp_path)
    (tmp_path / "ca-key.pem").unlink()
    with pytest.raises(FileProblem, match=r"ca-key\.pem is missing"):
        cert_files.renew(tmp_path)
