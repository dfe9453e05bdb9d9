"""The worked example of docs/adding-a-service.md, played on a copy of the repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.worked_pages import play


@pytest.mark.slow
def test_the_example_works_when_it_is_followed_to_the_letter(tmp_path: Path) -> None:
    play("adding-a-service.md", tmp_path)
