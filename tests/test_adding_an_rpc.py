"""The worked example of docs/adding-an-rpc.md, played on a copy of the repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.worked_pages import apply, play


@pytest.mark.slow
def test_the_example_works_when_it_is_followed_to_the_letter(tmp_path: Path) -> None:
    play("adding-an-rpc.md", tmp_path)


@pytest.mark.parametrize("page", ["adding-an-rpc.md", "adding-a-service.md"])
def test_every_block_fits_the_files_that_it_changes(tmp_path: Path, page: str) -> None:
    assert apply(page, tmp_path)
