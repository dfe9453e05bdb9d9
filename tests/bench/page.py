"""The page docs/performance.md, the plots, and README's figures, made of the kept runs.

A row that is measured anew replaces what was kept of it, and leaves the other rows alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from itertools import groupby
from typing import Any, Final

from tests.bench import plot
from tests.bench.report import Finding
from tests.bench.stack import ROOT

DOCS: Final = ROOT / "docs"
PAGE, README = DOCS / "performance.md", ROOT / "README.md"
RUNS: Final = DOCS / "performance" / "runs.json"
PEERS: Final = "peers"
VENDURE: Final = "vendure"
# Rows with a table of their own, in which each peer has a column.
BESIDE: Final = (PEERS, VENDURE)
# By row: the file, the title, and the two axes of its plot.
PLOTS: Final[Mapping[str, tuple[str, str, str, str]]] = {
    "sizes": ("cost.svg", "Processor time of a request", "products in the catalog", "microseconds"),
    "saturation": (
        "load.svg",
        "The slowest request of a hundred",
        "requests a second",
        "p99 in ms",
    ),
}

Runs = dict[str, dict[str, Any]]


def kept_runs() -> Runs:
    """Return what was kept: by row, when, where and by which command it was measured."""
    found: Runs = json.loads(RUNS.read_text())
    return found


def keep(findings: Sequence[Finding], command: str, moment: datetime, told: Sequence[str]) -> None:
    """Keep the findings of a run, and write everything that shows them."""
    runs = merged(kept_runs(), findings, command, moment, told)
    RUNS.write_text(json.dumps(runs, indent=1, ensure_ascii=False) + "\n")
    write(kept_runs())


def merged(
    runs: Runs, findings: Sequence[Finding], command: str, moment: datetime, told: Sequence[str]
) -> Runs:
    """Return the runs with these findings in place of what was kept of their rows.

    Args:
        runs: What was kept.
        findings: The findings.
        command: The command that made them.
        moment: When it began.
        told: What the machine is.
    """
    new = {
        row: {
            "command": command,
            "moment": moment.strftime("%Y-%m-%d %H:%M UTC"),
            "machine": list(told),
            "findings": [asdict(each) for each in found],
        }
        for row, found in groupby(findings, key=lambda each: each.row)
    }
    return runs | new


def write(runs: Runs) -> None:
    """Write the page, the plots and README's figures."""
    for path, name, text in blocks(runs):
        path.write_text(replaced(path.read_text(), name, text))
    for file, text in plots(runs):
        (RUNS.parent / file).write_text(text)


def blocks(runs: Runs) -> Iterator[tuple[Any, str, str]]:
    """Give each part that is made: its file, its name and its text."""
    peers = _beside(runs, PEERS)
    yield PAGE, "peers", peers
    yield PAGE, "vendure", _beside(runs, VENDURE)
    yield PAGE, "rows", _rows(runs)
    yield PAGE, "plots", _images(runs)
    yield PAGE, "runs", _sources(runs)
    yield README, "peers", peers


def plots(runs: Runs) -> Iterator[tuple[str, str]]:
    """Give the file and the text of each plot."""
    for row, (file, title, x_label, y_label) in PLOTS.items():
        if _has_points(runs, row):
            series = {each.figure: each.points for each in _findings(runs, row) if each.points}
            yield file, plot.draw(title, x_label, y_label, series)


def between(text: str, name: str) -> str:
    """Return a part that is made."""
    return text.partition(_mark(name, "begin"))[2].partition(_mark(name, "end"))[0]


def replaced(text: str, name: str, part: str) -> str:
    """Return a text with a part replaced."""
    before, begin, rest = text.partition(_mark(name, "begin"))
    _, end, after = rest.partition(_mark(name, "end"))
    if not begin or not end:
        raise ValueError(f"there is no place for {name}")
    return before + begin + part + end + after


def _mark(name: str, what: str) -> str:
    return f"<!-- {name}: {what} -->"


def _has_points(runs: Runs, row: str) -> bool:
    return row in runs and any(each.points for each in _findings(runs, row))


def _findings(runs: Runs, row: str) -> list[Finding]:
    return [Finding(**each) for each in runs[row]["findings"]]


def _beside(runs: Runs, row: str) -> str:
    if row not in runs:
        return "\nThere is no kept run yet.\n"
    findings = _findings(runs, row)
    names = list(next((each.peers for each in findings if each.peers), {"a peer": ""}))
    head = ["request", "Lockstep", *names, f"of {names[0]}", "goal", ""]
    rows = [
        [
            *(each.figure, each.measured, *(each.peers.get(name, "") for name in names)),
            *(each.ratio, each.goal, each.verdict),
        ]
        for each in findings
    ]
    run = runs[row]
    return f"\n`{run['command']}`, {run['moment']}\n\n" + _table(head, rows)


def _rows(runs: Runs) -> str:
    head = ["row", "figure", "measured", "ratio", "goal", ""]
    rows = [
        [each.row, each.figure, each.every_figure, each.ratio, each.goal, each.verdict]
        for row in runs
        if row not in BESIDE
        for each in _findings(runs, row)
    ]
    return "\n" + _table(head, rows)


def _images(runs: Runs) -> str:
    shown = [each for row, each in PLOTS.items() if _has_points(runs, row)]
    return "\n" + "".join(f"![{title}]({RUNS.parent.name}/{file})\n" for file, title, *_ in shown)


def _sources(runs: Runs) -> str:
    rows: dict[str, list[str]] = {}
    machines: dict[str, list[str]] = {}
    for row, run in runs.items():
        name = f"`{run['command']}`, {run['moment']}"
        rows.setdefault(name, []).append(row)
        machines[name] = run["machine"]  # as it was at the end
    lines = [
        line
        for name, told in machines.items()
        for line in (f"- {name}: {', '.join(rows[name])}", *(f"  - {each}" for each in told))
    ]
    return "\n".join(["", *lines, ""])


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(map(_cell, each))} |\n" for each in lines)


def _cell(text: str) -> str:
    """Return a text without what ends a cell; what failed may tell anything."""
    return " ".join(text.split()).replace("|", "\\|")
