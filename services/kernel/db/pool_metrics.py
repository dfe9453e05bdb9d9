"""The metrics of connection pools (semantic conventions for database clients)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from opentelemetry.metrics import CallbackOptions, Meter, Observation

POOL: Final = "db.client.connection.pool.name"
STATE: Final = "db.client.connection.state"


@dataclass(frozen=True, slots=True)
class PoolFigures:
    """What a pool knows about itself.

    Attributes:
        used: The connections that are lent.
        idle: The connections that wait to be lent.
        most: The most connections that there may be.
        waiting: The callers that wait for a connection.
        timeouts: The callers that gave up waiting, since the start.
    """

    used: int
    idle: int
    most: int
    waiting: int
    timeouts: int


def observe_pools(meter: Meter, pools: Mapping[str, Callable[[], PoolFigures]]) -> None:
    """Create the metrics of a process's pools.

    Args:
        meter: Creates the instruments.
        pools: Each pool's figures, by the pool's name.
    """

    def each(
        *values: tuple[Callable[[PoolFigures], int], Mapping[str, str]],
    ) -> Sequence[Callable[[CallbackOptions], Iterable[Observation]]]:
        def read(_options: CallbackOptions) -> Iterable[Observation]:
            for name, figures in pools.items():
                now = figures()
                for value, attributes in values:
                    yield Observation(value(now), {POOL: name, **attributes})

        return [read]

    connections = "db.client.connection"
    meter.create_observable_up_down_counter(
        f"{connections}.count",
        callbacks=each(
            (lambda now: now.used, {STATE: "used"}), (lambda now: now.idle, {STATE: "idle"})
        ),
        unit="{connection}",
        description="Connections of the pool",
    )
    meter.create_observable_up_down_counter(
        f"{connections}.max",
        callbacks=each((lambda now: now.most, {})),
        unit="{connection}",
        description="The most connections of the pool",
    )
    meter.create_observable_up_down_counter(
        f"{connections}.pending_requests",
        callbacks=each((lambda now: now.waiting, {})),
        unit="{request}",
        description="Callers that wait for a connection",
    )
    meter.create_observable_counter(
        f"{connections}.timeouts",
        callbacks=each((lambda now: now.timeouts, {})),
        unit="{timeout}",
        description="Callers that got no connection in time",
    )
