"""No process loads what only others need.

Each module costs memory in every process, for as long as it runs, and the time of every start.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

PROCESSES = ("auth", "profile", "commerce", "gateway", "relay", "cli.mailsink", "cli.page")
UNUSED = {"PIL", "alembic", "attrs", "mako", "sqlalchemy.orm"}
# What the command imports only when it needs it, so that its help comes at once.
LATE = {"alembic", "grpc", "lockstep_clients", "psycopg", "rich", "sqlalchemy", "structlog"}


@pytest.mark.parametrize("name", PROCESSES)
def test_a_process_that_stays_loads_nothing_that_it_never_uses(name: str) -> None:
    module = name if name == "cli.mailsink" else f"{name}.__main__"
    loaded = loaded_by(f"import services.{module}")
    assert f"services.{module}" in loaded
    assert UNUSED & loaded == set()


@pytest.mark.parametrize("run", ["", "; app(['--help'], standalone_mode=False)"])
def test_the_command_loads_little_before_it_knows_what_to_do(run: str) -> None:
    loaded = loaded_by(f"from services.cli.main import app{run}")
    assert "typer" in loaded
    assert LATE & loaded == set()


def loaded_by(code: str) -> set[str]:
    """Return the modules that a process has loaded after some code."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; import sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return set(done.stdout.splitlines()[-1].split())
