"""The gateway's own pages: its health and fixed files."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from lockstep_gateway.http.errors import Failures
from lockstep_gateway.http.messages import JSON_TYPE, Request, Response
from lockstep_gateway.http.negotiation import accepts_gzip, none_match
from lockstep_gateway.http.upstream import SERVING, Channels

Page = Callable[[Request], Awaitable[Response]]

COMPRESS_ABOVE_BYTES: Final = 1024


class FixedPage:
    """A page that never changes: compressed and tagged once.

    Args:
        body: The content.
        content_type: The media type.
        headers: Further headers.
    """

    def __init__(
        self, body: bytes, content_type: str, headers: Mapping[str, str] | None = None
    ) -> None:
        self._body = body
        self._small = gzip.compress(body, mtime=0) if len(body) > COMPRESS_ABOVE_BYTES else None
        self._type = content_type
        tag = hashlib.sha256(body).hexdigest()[:32]
        self._headers = {"etag": f'W/"{tag}"', "cache-control": "no-cache", **(headers or {})}

    async def __call__(self, request: Request) -> Response:
        """Answer with the page, or with 304 when the client has it."""
        headers = dict(self._headers)
        known = request.header(b"if-none-match")
        if known and none_match(known, headers["etag"]):
            return Response(304, headers=headers)
        if self._small is not None and accepts_gzip(request.header(b"accept-encoding")):
            headers["content-encoding"] = "gzip"
            return Response(200, self._small, headers, self._type)
        return Response(200, self._body, headers, self._type)


@dataclass(slots=True, eq=False)
class Health:
    """Answer whether the gateway is alive, and whether it is ready.

    Attributes:
        channels: The channels to the upstreams.
        failures: The factory of failures.
        waiting: The reasons why services are not served yet, by the name of their upstream.
        draining: Whether the gateway is stopping: it is alive, but not ready.
    """

    channels: Channels
    failures: Failures
    waiting: Mapping[str, str] = field(default_factory=dict)
    draining: bool = field(default=False, init=False)

    @property
    def pages(self) -> dict[str, Page]:
        """The pages by path."""
        return {"/healthz": self.alive, "/readyz": self.ready}

    async def alive(self, _request: Request) -> Response:
        """Answer that the process is alive."""
        return Response(200, b'{"status":"OK"}', {"cache-control": "no-store"}, JSON_TYPE)

    async def ready(self, _request: Request) -> Response:
        """Answer with the state of every upstream.

        Raises:
            Failure: An upstream is not SERVING, or the gateway is stopping.
        """
        states = {} if self.draining else await self.channels.health()
        if trouble := self._trouble(states):
            raise self.failures.unavailable(trouble)
        body = json.dumps({"status": SERVING, "upstreams": states}).encode()
        return Response(200, body, {"cache-control": "no-store"}, JSON_TYPE)

    async def trouble(self) -> str | None:
        """Say why the gateway is not ready; None: it is."""
        return self._trouble({} if self.draining else await self.channels.health())

    def _trouble(self, states: Mapping[str, str]) -> str | None:
        if self.draining:
            return "The gateway is stopping."
        wrong = [f"{name} is {state}" for name, state in states.items() if state != SERVING]
        wrong += [f"{name}: {why}" for name, why in self.waiting.items()]
        return f"Not ready: {', '.join(wrong)}." if wrong else None
