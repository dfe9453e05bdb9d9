"""Whether an address is one of the public internet, and nobody's private network."""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

# Addresses of IPv6 that hold one of IPv4 in their last 32 bits: mapped (also by translators)
# and compatible ones, and NAT64 (RFC 6052 and 8215).
_HOLDS_IPV4: Final = (
    IPv6Network("::ffff:0:0/96"),
    IPv6Network("::ffff:0:0:0/96"),
    IPv6Network("::/96"),
    IPv6Network("64:ff9b::/96"),
    IPv6Network("64:ff9b:1::/48"),
)
# Special ranges (IANA) that not every version of Python knows; Teredo is one of them.
_SPECIAL: Final = (
    IPv4Network("192.0.0.0/24"),
    IPv4Network("192.88.99.0/24"),
    IPv6Network("100::/64"),
    IPv6Network("2001::/23"),
    IPv6Network("3fff::/20"),
    IPv6Network("5f00::/16"),
)
RESOLVING_MAX: Final = 50


class AddressRefused(Exception):
    """The host has an address to which nothing may be sent."""


def is_public(text: str) -> bool:
    """Return whether an IP address is public, also the one of IPv4 that it may hold."""
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address):
        inner = _ipv4_of(address)
        if inner is not None:
            return _is_public(inner)
    return _is_public(address)


def _ipv4_of(address: IPv6Address) -> IPv4Address | None:
    if any(address in network for network in _HOLDS_IPV4):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.sixtofour


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    return address.is_global and not (
        address.is_multicast
        or address.is_private
        or address.is_reserved
        or address.is_unspecified
        or any(address in network for network in _SPECIAL)
        or (isinstance(address, IPv6Address) and address.is_site_local)
    )


def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(RESOLVING_MAX, thread_name_prefix="resolver")


@dataclass(frozen=True, slots=True)
class Resolver:
    """Resolves the names of hosts, in threads of its own: a lookup may hang for long.

    Attributes:
        allows_private: Whether private addresses are allowed, too.
    """

    allows_private: bool
    threads: ThreadPoolExecutor = field(default_factory=_threads)

    async def addresses(self, host: str, port: int) -> list[str]:
        """Return the addresses of a host.

        Raises:
            AddressRefused: One of them is not public.
            OSError: There are none.
        """
        found = await asyncio.get_running_loop().run_in_executor(self.threads, _look_up, host, port)
        if not self.allows_private and not all(map(is_public, found)):
            raise AddressRefused
        return found

    def close(self) -> None:
        """End the threads that have nothing to do."""
        self.threads.shutdown(wait=False, cancel_futures=True)


def _look_up(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))
