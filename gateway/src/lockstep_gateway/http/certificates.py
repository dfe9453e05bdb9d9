"""The certificate of the edge: whether it can be used, and whether it has changed."""

from __future__ import annotations

import ssl

from lockstep_gateway.http.config import Certificate

State = tuple[tuple[int, int, int], ...]
"""What tells whether files have changed."""


def check(certificate: Certificate) -> None:
    """Read a certificate and its key as the server will.

    Raises:
        OSError: They cannot be used; the text is for people.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # Without a password OpenSSL would ask the terminal for one.
        context.load_cert_chain(certificate.chain, certificate.key, password="")
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
        pair = f"{certificate.chain} with the key {certificate.key}"
        raise OSError(f"cannot use the certificate {pair}: {reason}") from None


def state_of(certificate: Certificate) -> State:
    """Return the state of the files; it is empty while one of them is missing."""
    try:
        found = [path.stat() for path in (certificate.chain, certificate.key)]
    except OSError:
        return ()
    return tuple((each.st_mtime_ns, each.st_size, each.st_ino) for each in found)
