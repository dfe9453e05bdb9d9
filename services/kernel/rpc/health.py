"""The health of a server, and how many callers watch it."""

from __future__ import annotations

from typing import Any

from grpc_health.v1 import health_pb2
from grpc_health.v1._async import HealthServicer


class WatchedHealth(HealthServicer):
    """Tells the health, and counts who watches it.

    Callers watch each server that they have connected to. So the count says whether all callers
    of a service have found a new replica.

    Attributes:
        watchers: The connections that watch now.
    """

    def __init__(self) -> None:
        super().__init__()
        self.watchers = 0

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: Any) -> None:  # noqa: N802 - the RPC's name
        """Tell the health at each change."""
        self.watchers += 1
        try:
            await super().Watch(request, context)
        finally:
            self.watchers -= 1
