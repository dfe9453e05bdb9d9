"""The report on the services of a folder of protos."""

from __future__ import annotations

import shutil
from pathlib import Path

import google.api

from tests.gateway.googleapis import measure
from tests.gateway.test_start import MANY


def test_the_report_counts_services_and_reasons(tmp_path: Path) -> None:
    (tmp_path / "acme").mkdir()
    (tmp_path / "acme" / "many.proto").write_text(MANY)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.proto").write_text("option (google.api.http) = {")
    report = measure(tmp_path)
    assert (report.whole, report.partial, report.refused) == ([], ["acme.v1.Library"], [])
    assert report.methods == 3
    assert sum(report.reasons.values()) == 4
    assert report.broken == ["broken"]
    assert "0 start with --strict" in list(report.lines())


def test_the_services_of_googleapis_that_are_installed_start(tmp_path: Path) -> None:
    """The package with google.api holds services, too: those of operations and of places."""
    installed = Path(next(iter(google.api.__path__))).parent
    for each in installed.rglob("*.proto"):
        copy = tmp_path / "google" / each.relative_to(installed)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(each, copy)
    report = measure(tmp_path)
    assert "google.longrunning.Operations" in report.whole
    assert not report.refused
    assert not report.broken
