"""Folders, ports and the command itself for the tests of the command."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.ports import settings_of_ports

ROOT = Path(__file__).parents[2]

Lockstep = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def home() -> Iterator[Path]:
    """Make a data folder with a short path, in /tmp, where other users may enter."""
    with tempfile.TemporaryDirectory(prefix="lockstep-cli-") as folder:
        yield Path(folder) / "home"


@pytest.fixture
def environment(home: Path) -> dict[str, str]:
    """Return an environment that shares nothing with other runs on this machine."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LOCKSTEP_")}
    return (
        kept
        | settings_of_ports()
        | {"LOCKSTEP_HOME": str(home), "COLUMNS": "200", "PYTHONPATH": str(ROOT)}
    )


@pytest.fixture
def lockstep(environment: dict[str, str]) -> Iterator[Lockstep]:
    """Start `lockstep` with arguments, and kill it if it still runs at the end."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **changes: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.cli", *arguments],
            env=environment | changes,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.communicate(timeout=10)


def finish(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    """Wait for the end of a command, and return its code, output and errors."""
    output, errors = process.communicate(timeout=60)
    return process.returncode, output, errors
