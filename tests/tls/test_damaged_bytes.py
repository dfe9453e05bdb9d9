"""Whatever byte of a certificate is damaged: it is used, or refused in one line."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from lockstep_clients import TlsFiles

from services.common import cert_files
from services.common.files import FileProblem
from services.common.settings import CommonSettings
from services.common.tls import tls_of


def damaged(path: Path) -> Iterator[bytes]:
    """Return copies of a certificate, each with one other byte."""
    der = ssl.PEM_cert_to_DER_cert(path.read_text())
    for place in range(len(der)):
        for bits in (0x04, 0xFF):
            changed = bytes([*der[:place], der[place] ^ bits, *der[place + 1 :]])
            yield ssl.DER_cert_to_PEM_cert(changed).encode()


@pytest.mark.filterwarnings("ignore:Parsed a:UserWarning")
@pytest.mark.parametrize("name", ["ca.pem", "probe/cert.pem"])
def test_a_certificate_with_a_damaged_byte_is_used_or_refused(name: str, tmp_path: Path) -> None:
    cert_files.initialise(tmp_path, services=["probe"])
    settings = CommonSettings(tls="mutual", certs=tmp_path)
    own = tmp_path / "probe"
    files = TlsFiles(tmp_path / "ca.pem", own / "cert.pem", own / "key.pem")
    for content in damaged(tmp_path / name):
        (tmp_path / name).write_bytes(content)
        with contextlib.suppress(FileProblem):
            tls_of(settings, "probe")
        with contextlib.suppress(FileProblem):
            cert_files.listed(tmp_path)
        with contextlib.suppress(OSError, ValueError):
            files.channel_credentials()
