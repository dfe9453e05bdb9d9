"""Answers to callers who would otherwise hear too late that a saga goes on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from services.kernel.sagas import engine


@contextlib.contextmanager
def told_early() -> Iterator[float]:
    """Let those who call now hear long before their deadline that a saga has not ended.

    Yields:
        The time to call with. The answer comes after half a second, and has the rest to arrive:
        a busy machine may need seconds.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "WAIT_RESERVE_SECONDS", 4.0)
        yield 4.5
