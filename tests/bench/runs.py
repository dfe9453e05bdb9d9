"""A run of the benchmark: rows one after the other, each shown and kept as soon as it is there."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from tests.bench import page, report
from tests.bench.lab import Lab, Row
from tests.bench.report import Finding
from tests.bench.stack import stack

Keep = Callable[[list[Finding]], None]


def run(
    rows: Mapping[str, Row], command: str, *, is_quick: bool, is_written: bool, load: str
) -> None:
    """Measure rows, show what was found, and write it into the documents if that is asked for.

    Args:
        rows: The rows by their names.
        command: The command that made them.
        is_quick: Whether to measure less.
        is_written: Whether to write docs/performance.md, its plots, and README's figures.
        load: What makes the load.
    """
    moment = datetime.now(UTC)

    def keep(found: list[Finding]) -> None:
        if is_written:
            page.keep(found, command, moment, report.machine(load))

    findings = asyncio.run(measure(rows, is_quick=is_quick, keep=keep))
    report.show(findings, Console())
    for line in report.machine(load):
        print(line)


async def measure(rows: Mapping[str, Row], *, is_quick: bool, keep: Keep) -> list[Finding]:
    """Measure rows one after the other, and keep each; one that fails becomes a finding, too."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        async with stack() as made:
            task = progress.add_task("starting Lockstep", total=len(rows))
            lab = Lab(stack=made, is_quick=is_quick, progress=progress, task=task)
            findings = []
            for name, row in rows.items():
                found = await _row(lab, name, row)
                findings += found
                keep(found)
                report.show(found, progress.console)
                progress.advance(task)
            return findings


async def _row(lab: Lab, name: str, row: Row) -> list[Finding]:
    try:
        return await row(lab)
    except Exception as error:  # noqa: BLE001 - an hour of other rows must not be lost
        traceback.print_exc()
        told = f"{type(error).__name__}: {error}"
        return [Finding(name, "not measured", told, "", "", is_met=False)]
