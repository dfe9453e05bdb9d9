"""docs/reliability.md tells what the schedules of faults are today."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import report
from tests.faults.mutants import MUTANTS
from tests.faults.rows import ROWS
from tests.model import report as model

PAGE = report.TARGET.read_text()


def test_the_introduction_is_the_one_of_the_code() -> None:
    assert PAGE.startswith(report.INTRODUCTION), "run `make faults FAULTS=short`"


def test_each_row_and_each_wrong_protocol_has_a_line() -> None:
    missing = [name for name in (*ROWS, *MUTANTS) if f"\n| {name} |" not in PAGE]
    assert missing == [], "run `make faults FAULTS=short`"


def test_the_short_form_keeps_what_the_last_long_one_has_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "ROOT", tmp_path)
    monkeypatch.setattr(report, "TARGET", tmp_path / "page.md")
    monkeypatch.setattr(model, "section", lambda: ["## The model", ""])  # takes long
    report.TARGET.write_text("old\n## Last run\n28024 runs\n## Pitfalls\nold\n## Soak\n616 s\n")
    report.write({"soak": dict.fromkeys(SOAK_NUMBERS, 9)}, form="short", seconds=1)
    page = report.TARGET.read_text()
    assert page.startswith(report.INTRODUCTION)
    assert "## Last run\n28024 runs\n\n## Pitfalls\n\n0 of" in page
    assert "## Soak\n616 s\n" in page
    report.write({}, form="long", seconds=1)
    assert "28024 runs" not in report.TARGET.read_text()


SOAK_NUMBERS = (
    *("date", "clients", "requests", "seconds", "faults", "ok", "refused", "unknown", "register"),
    *("delete", "leave", "order", "cancel", "part", "ship", "return", "memory"),
)
