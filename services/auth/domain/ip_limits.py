"""Where calls come from, and how many may come from one place."""

from __future__ import annotations

import ipaddress
import re
import time

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from services.kernel.errors import TooManyRequests
from services.kernel.rpc.call import Call

CALLS_A_MINUTE = 300
IPV6_SITE_BITS = 64  # whoever has one address of it has them all

_PEER = re.compile(r"ipv[46]:(?:%5B|\[)?(?P<ip>[^]%]+?)(?:%5D|\])?:\d+")


def client_ip_of(call: Call) -> str | None:
    """Return the IP address that a call comes from, or None when it has none.

    The gateway's word for it, when the gateway is who calls; else the transport's.
    """
    text = call.client_ip or ""
    peer = _PEER.fullmatch(text)
    try:
        return str(ipaddress.ip_address(peer["ip"] if peer else text))
    except ValueError:
        return None


class IpRateLimiter:
    """Bounds how often one address may call each method that asks no token.

    Counted in the memory of this process: a flood is met where it arrives.

    Args:
        enabled: Off for load tests, and behind proxies that everybody shares.
    """

    def __init__(self, *, enabled: bool) -> None:
        self._limit = RateLimitItemPerMinute(CALLS_A_MINUTE) if enabled else None
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    async def hit(self, call: Call) -> str | None:
        """Count a call, and return its address.

        Raises:
            TooManyRequests: There were too many from there.
        """
        client_ip = client_ip_of(call)
        if self._limit is None or client_ip is None:
            return client_ip
        names = (call.method.name, _place(client_ip))
        if not await self._limiter.hit(self._limit, *names):
            stats = await self._limiter.get_window_stats(self._limit, *names)
            raise TooManyRequests(retry_after_seconds=max(1.0, stats.reset_time - time.time()))
        return client_ip


def _place(client_ip: str) -> str:
    ip = ipaddress.ip_address(client_ip)
    if isinstance(ip, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((ip, IPV6_SITE_BITS), strict=False))
    return str(ip)
