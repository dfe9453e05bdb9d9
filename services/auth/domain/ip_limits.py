"""Client IPs: their form, and a limit of calls for each."""

from __future__ import annotations

import time

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from services.kernel.errors import TooManyRequests
from services.kernel.rpc.call import Call, Method
from services.kernel.rpc.client_ips import parse_client_ip, site_of

CALLS_A_MINUTE = 300


def client_ip_of(call: Call) -> str | None:
    """Return the client's IP, or None when the call has none.

    The gateway names it; for every other caller it is the transport's peer.
    """
    return parse_client_ip(call.client_ip)


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
