"""A world of virtual time for the schedules of a file."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from services.cli.postgres import EmbeddedPostgres
from tests.faults.databases import make_database
from tests.faults.world import World, virtual_time

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def world(postgres: EmbeddedPostgres) -> Iterator[World]:
    """Two replicas of each service, in virtual time; nothing else may run in it."""
    with virtual_time(make_database(postgres, f"faults_{next(_numbers)}")) as made:
        yield made
