"""Queues: requests that come, processes that work, and how long it takes."""

from __future__ import annotations

import heapq
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

WARM_UP: Final = 0.1
"""The part of the requests that only fills the queues."""
REQUESTS: Final = 20_000
SHAPE: Final = 1.25
"""How much single works differ: 1 is as exponential times do, more is less. It was fitted."""
BUSY: Final = 0.7
"""The part of its time that a replica may work."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a simulation.

    Attributes:
        rate: Requests a second.
        mean: The mean time of a request, in seconds.
        p99: The time within which 99 of 100 requests end, in seconds.
    """

    rate: float
    mean: float
    p99: float


@dataclass
class Station:
    """Cores that share one queue, such as those of a process that hashes."""

    cores: int
    free_at: list[float] = field(init=False)

    def __post_init__(self) -> None:
        """Begin with idle cores."""
        self.free_at = [0.0] * self.cores

    def work(self, come: float, seconds: float) -> float:
        """Take the next core, and return when the work is done."""
        begin = max(come, heapq.heappop(self.free_at))
        heapq.heappush(self.free_at, begin + seconds)
        return begin + seconds


def closed(
    cores: Sequence[int], seconds: Sequence[float], *, clients: int, requests: int = REQUESTS
) -> Result:
    """Simulate clients that ask anew when they have an answer, as a load test does.

    Args:
        cores: The cores of each station that a request passes.
        seconds: The mean work at each.
        clients: The number of clients.
        requests: How many requests to simulate.
    """
    chance = random.Random(1)
    stations = [Station(each) for each in cores]
    # Each entry is when a request comes to a station: its time, its beginning, the station.
    coming = [(0.0, number, 0.0, 0) for number in range(clients)]
    ended: list[tuple[float, float]] = []
    while len(ended) < requests:
        now, number, began, place = heapq.heappop(coming)
        done = stations[place].work(now, _work(chance, seconds[place]))
        if place + 1 < len(stations):
            heapq.heappush(coming, (done, number, began, place + 1))
        else:
            ended.append((done, done - began))
            heapq.heappush(coming, (done, number, done, 0))
    return _result(ended)


def opened(seconds: float, *, rate: float) -> Result:
    """Simulate people who ask whenever they like, at one replica of one core.

    Args:
        seconds: The mean work of a request.
        rate: The requests a second.
    """
    chance = random.Random(1)
    station, now = Station(1), 0.0
    ended = []
    for _ in range(REQUESTS):
        now += chance.expovariate(rate)
        done = station.work(now, _work(chance, seconds))
        ended.append((done, done - now))
    return _result(ended)


def replicas(seconds: float, *, rate: float, p99: float) -> int:
    """Return how many replicas of one core serve a rate, none busier than it may be.

    Args:
        seconds: The mean work of a request.
        rate: The requests a second, spread evenly.
        p99: The time within which 99 of 100 requests must end.
    """
    number = max(1, round(rate * seconds / BUSY + 0.5))
    while opened(seconds, rate=rate / number).p99 > p99:
        number += 1
    return number


def _work(chance: random.Random, mean: float) -> float:
    return chance.gammavariate(SHAPE, mean / SHAPE)


def _result(ended: list[tuple[float, float]]) -> Result:
    ended = sorted(ended)[int(len(ended) * WARM_UP) :]
    times = sorted(each for _, each in ended)
    span = ended[-1][0] - ended[0][0]
    return Result(
        rate=(len(ended) - 1) / span,
        mean=sum(times) / len(times),
        p99=times[int(len(times) * 0.99)],
    )
