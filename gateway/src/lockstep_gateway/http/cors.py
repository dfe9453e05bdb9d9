"""Cross-origin requests (Fetch standard): allowed for the configured origins, without cookies."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from lockstep_gateway.http.messages import Request, Response

EVERY: Final = "*"
PREFLIGHT_SECONDS: Final = "600"


@dataclass(frozen=True, slots=True)
class Cors:
    """Decide which origins may read answers.

    Attributes:
        origins: Origins such as `https://shop.example`; `*` stands for all.
        allowed: The request headers that they may send.
        exposed: The headers of answers that they may read.
    """

    origins: Collection[str]
    allowed: Collection[str]
    exposed: Collection[str]

    def headers(self, request: Request) -> dict[str, str]:
        """Return the headers that let the request's origin read the answer."""
        if not self.origins:
            return {}
        origin = request.header(b"origin")
        if EVERY in self.origins:
            allowed = EVERY
        elif origin in self.origins:
            allowed = origin
        else:
            return {}
        return {
            "access-control-allow-origin": allowed,
            "access-control-expose-headers": ", ".join(self.exposed),
        }

    def is_preflight(self, request: Request) -> bool:
        """Tell whether a request is the preflight of an allowed origin."""
        return (
            request.method == "OPTIONS"
            and b"access-control-request-method" in request.fields
            and bool(self.headers(request))
        )

    def preflight(self, methods: Collection[str]) -> Response:
        """Answer a preflight for a path with these methods."""
        allow = ", ".join(sorted(methods))
        return Response(
            204,
            headers={
                "access-control-allow-methods": allow,
                "access-control-allow-headers": ", ".join(self.allowed),
                "access-control-max-age": PREFLIGHT_SECONDS,
            },
        )
