"""Client IPs: their form, and the places that one client may have."""

from __future__ import annotations

import ipaddress
import re

IPV6_SITE_BITS = 64  # a client may use every IP of its site

_PEER = re.compile(r"ipv[46]:(?:%5B|\[)?(?P<ip>[^]%]+?)(?:%5D|\])?:\d+")


def parse_client_ip(text: str | None) -> str | None:
    """Return a client's IP, or None when there is none.

    Args:
        text: The word of a proxy, or the transport's peer.
    """
    peer = _PEER.fullmatch(text or "")
    try:
        return str(ipaddress.ip_address(peer["ip"] if peer else text or ""))
    except ValueError:
        return None


def site_of(client_ip: str) -> str:
    """Return the IPs that one client may use: an IPv4, or the site of an IPv6."""
    ip = ipaddress.ip_address(client_ip)
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return str(ip.ipv4_mapped)
        return str(ipaddress.ip_network((ip, IPV6_SITE_BITS), strict=False))
    return str(ip)
