"""How long requests take, by route and outcome (semantic conventions for HTTP)."""

from __future__ import annotations

from typing import Final

from opentelemetry.metrics import Meter, NoOpMeter

NO_METER: Final[Meter] = NoOpMeter("gateway")
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER: Final = "_OTHER"
SERVER_ERROR: Final = 500
# Of the convention, in seconds.
DURATION_BUCKETS: Final = (
    *(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75),
    *(1.0, 2.5, 5.0, 7.5, 10.0),
)

Attributes = dict[str, str | int]


class RequestMeter:
    """Measures every request, with one measurement a request, and what streams send."""

    def __init__(self, meter: Meter) -> None:
        self._durations = meter.create_histogram(
            "http.server.request.duration",
            unit="s",
            description="Duration of served requests",
            explicit_bucket_boundaries_advisory=list(DURATION_BUCKETS),
        )
        self._messages = meter.create_counter(
            "gateway.stream.messages", description="Messages that streams have sent to clients"
        )
        self._streams = meter.create_up_down_counter(
            "gateway.streams", description="Streams in flight"
        )
        self._attributes: dict[tuple[str, str, int, str], Attributes] = {}

    def count_streams(self, change: int) -> None:
        """Note that a stream has begun (1) or ended (-1)."""
        self._streams.add(change)

    def count_messages(self, number: int, *, route: str) -> None:
        """Note the messages that a stream has sent."""
        self._messages.add(number, {"http.route": route})

    def measure(
        self, seconds: float, *, method: str, route: str, status: int, error: str = ""
    ) -> None:
        """Note a request.

        Args:
            seconds: Its duration.
            method: Its method, as it came.
            route: The template of its path; empty for a path that is not served.
            status: The status of the response.
            error: The name of the gRPC code that ended a stream after its head was sent.
        """
        key = (method if method in METHODS else OTHER, route, status, error)
        attributes = self._attributes.get(key)
        if attributes is None:
            attributes = self._attributes[key] = _attributes(*key)
        self._durations.record(seconds, attributes)


def _attributes(method: str, route: str, status: int, error: str) -> Attributes:
    attributes: Attributes = {"http.request.method": method, "http.response.status_code": status}
    if route:
        attributes["http.route"] = route
    if status >= SERVER_ERROR:
        attributes["error.type"] = str(status)
    if error:
        attributes["error.type"] = error
    return attributes
