"""A whole Lockstep, for the tests from outside."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.stack import Stack, running_stack


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """Run `lockstep up` for all tests here."""
    with running_stack() as stack:
        yield stack
