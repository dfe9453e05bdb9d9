"""No service loads what only a command, a program of its own or a migration needs.

Each module costs memory in every process, for as long as it runs.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

PROCESSES = ("auth", "profile", "commerce", "gateway", "cli.mailsink", "cli.page")
UNUSED = {"PIL", "alembic", "attrs", "mako", "pygments", "rich", "sqlalchemy.orm"}


@pytest.mark.parametrize("name", PROCESSES)
def test_a_process_that_stays_loads_nothing_that_it_never_uses(name: str) -> None:
    module = name if name == "cli.mailsink" else f"{name}.__main__"
    code = f"import sys, services.{module}; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    ).stdout.split()
    assert f"services.{module}" in loaded
    assert UNUSED & set(loaded) == set()
