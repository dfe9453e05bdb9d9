"""What was measured (docs/performance.md, the run of 2026-11-26), and the shop that grows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

HASH_SECONDS: Final = 2 / 9.19
"""A password's hash (bcrypt, cost 12) in a loop of its own: 9.19 a second on two cores."""
GATEWAY_SECONDS: Final = 330e-6
"""A request at the gateway."""
CALL_SECONDS: Final[Mapping[str, float]] = {
    "GetProduct": 307e-6,
    "ListProducts": 390e-6,
    "GetCart": 355e-6,
    "AddCartItem": 460e-6,
}
"""A call at its service, as processor time."""
ORDER_SECONDS: Final = 2 / 340
"""An order, as all the processor time of the machine that made 340 a second."""
REGISTRATION_SECONDS: Final = 2 / 8.38
"""A registration, in the same way."""
IN_FLIGHT: Final = 16
"""The calls that the load of the measurement had under way at once."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A figure of the run.

    Attributes:
        name: What was measured.
        rate: The measured rate, in requests a second.
        p99: The measured time of 99 of 100, in milliseconds; None: it was not measured.
        cores: The cores of each station on the way of a request.
        seconds: The work at each.
    """

    name: str
    rate: float
    p99: float | None
    cores: Sequence[int]
    seconds: Sequence[float]


MEASURED: Final = (
    Measured("GetProduct over gRPC", 3249, 7.9, [1], [CALL_SECONDS["GetProduct"]]),
    Measured("ListProducts over gRPC", 2558, 10.3, [1], [CALL_SECONDS["ListProducts"]]),
    Measured("GetCart over gRPC", 2815, 7.9, [1], [CALL_SECONDS["GetCart"]]),
    Measured("AddCartItem over gRPC", 2175, 12.6, [1], [CALL_SECONDS["AddCartItem"]]),
    Measured(
        "GetProduct over REST", 2984, 10.7, [1, 1], [GATEWAY_SECONDS, CALL_SECONDS["GetProduct"]]
    ),
    Measured("logins", 9.02, None, [2], [HASH_SECONDS]),
    Measured("registrations", 8.38, None, [2], [HASH_SECONDS]),
)


@dataclass(frozen=True, slots=True)
class Traffic:
    """The peak of a shop, in requests a second."""

    reads: float
    logins: float
    registrations: float
    orders: float

    def times(self, factor: int) -> Traffic:
        """Return the traffic of a shop so many times as large."""
        return Traffic(
            self.reads * factor,
            self.logins * factor,
            self.registrations * factor,
            self.orders * factor,
        )


ONE: Final = Traffic(reads=30, logins=0.6, registrations=0.1, orders=1)
"""About ten thousand users a day."""
FACTORS: Final = (1, 10, 100, 1000)
