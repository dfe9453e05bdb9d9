"""The page of performance, its plots and README's figures are those of the runs that are kept."""

from __future__ import annotations

from datetime import UTC, datetime
from xml.etree import ElementTree as ET

import pytest

from tests.bench import page, plot
from tests.bench.report import Finding

RUNS = page.kept_runs()
MACHINE = ["two cores"]
MOMENT = datetime(2026, 11, 27, 12, tzinfo=UTC)
RUN = {"command": "make bench", "moment": "2026-11-27 12:00 UTC", "machine": MACHINE}
FOUND = {
    "row": "peers",
    "figure": "one product",
    "measured": "600 us",
    "ratio": "0.60",
    "goal": "<= 0.60",
    "is_met": True,
    "peers": {"FastAPI": "1,000 us"},
    "points": [[1, 2.5], [10, 30], [1000, 400]],
}


def test_what_is_shown_is_what_was_measured() -> None:
    for path, name, text in page.blocks(RUNS):
        assert page.between(path.read_text(), name) == text, f"run make bench: {path}, {name}"
    for file, text in page.plots(RUNS):
        assert (page.RUNS.parent / file).read_text() == text


def test_a_row_that_is_measured_anew_replaces_only_itself() -> None:
    found = Finding(**FOUND)  # type: ignore[arg-type]
    runs = page.merged({"rest": RUN | {"findings": []}}, [found], "make bench", MOMENT, MACHINE)
    assert list(runs) == ["rest", "peers"]
    peers = next(text for path, name, text in page.blocks(runs) if name == "peers")
    row = "| one product | 600 us | 1,000 us | 0.60 | <= 0.60 | met |"
    assert peers.splitlines()[-1] == row


def test_a_row_that_could_not_be_measured_is_shown_as_such() -> None:
    failed = Finding("peers", "not measured", "a | b\nc", "", "", is_met=False)
    runs = page.merged({}, [failed], "make bench", MOMENT, MACHINE)
    peers = next(text for path, name, text in page.blocks(runs) if name == "peers")
    assert peers.splitlines()[-1] == "| not measured | a \\| b c |  |  |  | NOT MET |"


def test_a_page_without_a_place_for_a_part_is_refused() -> None:
    with pytest.raises(ValueError, match="no place for rows"):
        page.replaced("<!-- rows: begin -->", "rows", "")


def test_a_plot_has_a_line_for_each_series_within_its_bounds() -> None:
    text = plot.draw("p99 < 5", "x", "y", {"a": [(1, 2.5), (900, 30)], "b": [(10, 400)]})
    drawn = ET.fromstring(text)  # it is our own text
    assert drawn[0].text == "p99 < 5"
    places = [
        (float(c.attrib["cx"]), float(c.attrib["cy"])) for c in drawn.iter() if "cx" in c.attrib
    ]
    assert len(places) == 3
    for x, y in places:
        assert plot.LEFT <= x <= plot.WIDTH - plot.RIGHT
        assert plot.TOP <= y <= plot.HEIGHT - plot.BOTTOM
    assert places[0][0] < places[1][0]
    assert places[0][1] > places[1][1]
