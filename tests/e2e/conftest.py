"""A whole Lockstep, for everything that is tested from outside."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.stack import Stack, running_stack


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """A Lockstep as `lockstep up` runs it."""
    with running_stack() as stack:
        yield stack
