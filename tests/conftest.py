"""The base of all tests: a real PostgreSQL, fresh databases, keys."""

from __future__ import annotations

import logging
import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import settings

import services
from services.cli.postgres import EmbeddedPostgres
from services.common import key_files
from services.kernel.db.migrations import upgrade
from services.kernel.rpc import admission
from tests.postgres import fresh_database, make_template, shared_postgres
from tests.told import twice_told

# A busy machine makes single examples slow; the tests have limits of their own.
settings.register_profile("lockstep", deadline=None)
settings.load_profile("lockstep")

SERVICES = Path(services.__file__).parent
FOLDER = Path(__file__).parent
# Files and folders that take minutes, the longest first.
LONGEST = (
    "faults/test_cancellation",
    "faults/test_deletion",
    "faults/test_checkout",
    "faults/test_register",
    "faults/test_meetings",
    "faults",
    "auth/test_hostile_texts",
    "e2e/test_operating",
    "deploy/test_envoy",
    "e2e",
    "upgrade",
    "replicas",
    "plans",
    "clients",
    "deploy",
    "cli",
)
UUID7 = re.compile(r"\b([0-9a-f]{8})-([0-9a-f]{4})-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}\b")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the tests, and refuse names of tests that change."""
    items.sort(key=_turn)
    _refuse_changing_names(items)


def _turn(item: pytest.Item) -> int:
    """Let the files that take minutes begin first, so that no process runs one alone in the end."""
    path = item.path.relative_to(FOLDER).as_posix()
    return next(
        (turn for turn, start in enumerate(LONGEST) if path.startswith(start)), len(LONGEST)
    )


def _refuse_changing_names(items: list[pytest.Item]) -> None:
    """Refuse tests named after an id that was made just now.

    Each process of a run would name them otherwise, and none would start.
    """
    for item in items:
        for high, low in UUID7.findall(item.nodeid):
            made_at = int(high + low, base=16) / 1000  # RFC 9562: milliseconds
            if abs(time.time() - made_at) < 3600:
                raise pytest.UsageError(
                    f"the name of a test must be the same always: {item.nodeid}"
                )


class Databases:
    """Makes fresh databases of a service, from a template that is migrated once."""

    def __init__(self, server: EmbeddedPostgres) -> None:
        self._server = server
        self._templates: dict[str, str] = {}

    def template(self, service: str) -> str:
        """Return the name of a service's migrated template."""
        if service not in self._templates:
            self._templates[service] = make_template(
                self._server,
                f"{service}_template",
                lambda url: upgrade(url, SERVICES / service / "migrations"),
            )
        return self._templates[service]

    def fresh(self, stack: ExitStack, service: str) -> str:
        """Return the URL of a database that lives as long as the stack."""
        return stack.enter_context(fresh_database(self._server, self.template(service)))


@pytest.fixture(autouse=True)
def own_logs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let what a test configures of the logs end with it: cached loggers, handlers, hooks."""
    before, configure = structlog.get_config(), structlog.configure
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def without_cache(*arguments: Any, **named: Any) -> None:
        configure(*arguments, **(named | {"cache_logger_on_first_use": False}))

    monkeypatch.setattr(structlog, "configure", without_cache)
    for module in (sys, threading):  # undone in the end, like all that is patched
        monkeypatch.setattr(module, "excepthook", module.excepthook)
    yield
    configure(**before)
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(autouse=True)
def told_twice() -> Iterator[list[list[str]]]:
    """Hold each service that runs in this process to one statement for all events of a commit."""
    with twice_told() as found:
        yield found
    assert found == []


@pytest.fixture(scope="session", autouse=True)
def _servers_stop_at_once() -> Iterator[None]:
    """Stop the servers of this process without a wait for callers: tests make no calls then."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(admission, "QUIET_SECONDS", 0.0)
        yield


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """Run a PostgreSQL server for this test process."""
    with shared_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def databases(postgres: EmbeddedPostgres) -> Databases:
    """Return the maker of databases on that server."""
    return Databases(postgres)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Close at the end of a test all that it has opened."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def auth_url(databases: Databases, stack: ExitStack) -> str:
    """Return the URL of a fresh database of Auth."""
    return databases.fresh(stack, "auth")


@pytest.fixture
def profile_url(databases: Databases, stack: ExitStack) -> str:
    """Return the URL of a fresh database of Profile."""
    return databases.fresh(stack, "profile")


@pytest.fixture
def commerce_url(databases: Databases, stack: ExitStack) -> str:
    """Return the URL of a fresh database of Commerce."""
    return databases.fresh(stack, "commerce")


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the keys of all services."""
    folder = tmp_path_factory.mktemp("lockstep") / "keys"
    key_files.initialise(folder)
    return folder
