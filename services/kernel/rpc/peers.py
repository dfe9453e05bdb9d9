"""The names by which the other end of a connection has proven itself (mutual TLS)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

SPIFFE: Final = "spiffe://lockstep/"

CertificateFacts = Mapping[str, Iterable[bytes]]
"""What gRPC says of the certificate of the other end."""


def names_of(facts: CertificateFacts) -> frozenset[str]:
    """Return the names in the certificate of the other end; none without one."""
    ids = (each.decode() for each in facts.get("peer_spiffe_id") or ())
    own = (each.removeprefix(SPIFFE) for each in ids if each.startswith(SPIFFE))
    return frozenset([*(each.decode() for each in facts.get("peer_dns") or ()), *own])
