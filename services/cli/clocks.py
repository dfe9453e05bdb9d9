"""Measures how far the clocks of the services' databases differ."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import combinations
from typing import Final

import psycopg

from services.cli.databases import connect
from services.kernel.sagas.clocks import FAR_APART_SECONDS

SAMPLES: Final = 3
CLOCKS: Final = "clocks that are far apart"


@dataclass(frozen=True, slots=True)
class Difference:
    """Two services whose databases' clocks are far apart: `ahead` is ahead of `behind`."""

    ahead: str
    behind: str
    seconds: float

    def as_record(self) -> dict[str, str | float]:
        """Return it for a program."""
        return {
            "kind": CLOCKS,
            "ahead": self.ahead,
            "behind": self.behind,
            "seconds": round(self.seconds, 3),
        }

    def __str__(self) -> str:
        """Return a line for a report."""
        return f"clock of {self.ahead} {self.seconds:.1f} s ahead of {self.behind}"


@dataclass(frozen=True, slots=True)
class _Reading:
    """A database's clock less the clock of this machine, and how wrong that may be."""

    seconds: float
    error: float


def differences(urls: Mapping[str, str]) -> list[Difference]:
    """Return the pairs of databases whose clocks are surely far apart.

    Args:
        urls: The database of each service.
    """
    readings = {service: _read(url) for service, url in urls.items()}
    found = []
    for a, b in combinations(readings, 2):
        seconds = readings[a].seconds - readings[b].seconds
        if abs(seconds) - readings[a].error - readings[b].error >= FAR_APART_SECONDS:
            ahead, behind = (a, b) if seconds > 0 else (b, a)
            found.append(Difference(ahead, behind, abs(seconds)))
    return found


def _read(url: str) -> _Reading:
    """Read a clock a few times, and trust the reading that took the least time."""
    with connect(url) as connection:
        return min((_read_once(connection) for _ in range(SAMPLES)), key=lambda each: each.error)


def _read_once(connection: psycopg.Connection) -> _Reading:
    sent, began = datetime.now(UTC), time.monotonic()
    row = connection.execute(b"SELECT saga_now()").fetchone()
    half = (time.monotonic() - began) / 2
    assert row is not None
    return _Reading((row[0] - sent).total_seconds() - half, half)
