"""SessionClient IPs: their form, and a limit of calls for each."""

from __future__ import annotations

import ipaddress
import re
import time

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from services.kernel.errors import TooManyRequests
from services.kernel.rpc.call import Call, Method

CALLS_A_MINUTE = 300
IPV6_SITE_BITS = 64  # a client may use every IP of its site

_PEER = re.compile(r"ipv[46]:(?:%5B|\[)?(?P<ip>[^]%]+?)(?:%5D|\])?:\d+")


def client_ip_of(call: Call) -> str | None:
    """Return the client's IP, or None when the call has none.

    The gateway names it; for every other caller it is the transport's peer.
    """
    return parse_ip(call.client_ip or "")


def parse_ip(text: str) -> str | None:
    """Return the IP in the name of a peer, or in a text that is one; None when it has none."""
    peer = _PEER.fullmatch(text)
    try:
        return str(ipaddress.ip_address(peer["ip"] if peer else text))
    except ValueError:
        return None


class IpRateLimiter:
    """Limits how often a client IP may call each method that needs no token.

    Each process counts in its own memory, so that a flood costs no shared work.

    Args:
        enabled: False for load tests, and behind proxies that all clients share.
        factor: How many times as high the limits are, for offices behind one IP.
    """

    def __init__(self, *, enabled: bool, factor: int) -> None:
        self._enabled = enabled
        self._factor = factor
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    async def hit(self, call: Call) -> str | None:
        """Count a call, and return its client IP.

        Raises:
            TooManyRequests: The IP has called too often.
        """
        client_ip = client_ip_of(call)
        if not self._enabled or client_ip is None:
            return client_ip
        limit = RateLimitItemPerMinute(calls_a_minute(call.method) * self._factor)
        names = (call.method.name, site_of(client_ip))
        if not await self._limiter.hit(limit, *names):
            stats = await self._limiter.get_window_stats(limit, *names)
            raise TooManyRequests(retry_after_seconds=max(1.0, stats.reset_time - time.time()))
        return client_ip


def calls_a_minute(method: Method) -> int:
    """Return how often a client IP may call a method in a minute."""
    return method.calls_a_minute or CALLS_A_MINUTE


def site_of(client_ip: str) -> str:
    """Return the IPs that one client may use: an IPv4, or the site of an IPv6."""
    ip = ipaddress.ip_address(client_ip)
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return str(ip.ipv4_mapped)
        return str(ipaddress.ip_network((ip, IPV6_SITE_BITS), strict=False))
    return str(ip)
