"""A name server that knows a few names, for gRPC's resolver and Envoy's."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address

A, IN = 1, 1
TTL_SECONDS = 1
# A response to a recursive question, without an error (RFC 1035, 4.1.1).
RESPONSE = 0x8180
# The name is the one in the question, which begins behind the header (RFC 1035, 4.1.4).
SAME_NAME = 0xC00C
HEADER = struct.Struct("!6H")


@dataclass
class NameServer(asyncio.DatagramProtocol):
    """Answers questions for A records of the names that it knows, and others with none.

    Attributes:
        addresses: The addresses of each name.
    """

    addresses: dict[str, list[str]] = field(default_factory=dict)
    transport: asyncio.DatagramTransport = field(init=False)

    @property
    def port(self) -> int:
        """The port on 127.0.0.1."""
        return int(self.transport.get_extra_info("sockname")[1])

    def target(self, name: str, port: int) -> str:
        """Return the gRPC target of a name that is looked up here."""
        return f"dns://127.0.0.1:{self.port}/{name}:{port}"

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        question = data[HEADER.size : data.index(b"\0", HEADER.size) + 5]
        (kind,) = struct.unpack("!H", question[-4:-2])
        addresses = self.addresses.get(_name(question), []) if kind == A else []
        (number,) = struct.unpack("!H", data[:2])
        header = HEADER.pack(number, RESPONSE, 1, len(addresses), 0, 0)
        record = struct.pack("!HHHIH", SAME_NAME, A, IN, TTL_SECONDS, 4)
        records = b"".join(record + IPv4Address(each).packed for each in addresses)
        self.transport.sendto(header + question + records, addr)


def _name(question: bytes) -> str:
    labels, rest = list[str](), question
    while length := rest[0]:
        labels.append(rest[1 : length + 1].decode().lower())
        rest = rest[length + 1 :]
    return ".".join(labels)


@contextlib.asynccontextmanager
async def name_server() -> AsyncIterator[NameServer]:
    """Run a name server on a free port."""
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(
        NameServer, ("127.0.0.1", 0), family=socket.AF_INET
    )
    server.transport = transport
    try:
        yield server
    finally:
        transport.close()
