"""Runs the schedules and writes docs/reliability.md.

python -m tests.faults [short|long]      what `make faults` does
python -m tests.faults soak [short]     the soak of real processes alone: ten minutes, or seconds
python -m tests.faults replay 'register a1.T1.commit.sent:lost'
python -m tests.faults trace 'register'  names the edges
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.faults.databases import make_database
from tests.faults.edges import parse
from tests.faults.play import Result, play
from tests.faults.report import write
from tests.faults.scenarios import SCENARIOS
from tests.faults.world import virtual_time
from tests.postgres import shared_postgres

FOLDER = Path(__file__).parent
SOAK = "test_processes_that_are_killed_and_stopped_under_load_keep_every_promise"
# Plays more kills in the long form.
KILLED_SERVER = FOLDER.parent / "databases" / "test_killed_server.py"


def main(arguments: list[str]) -> int:
    match arguments:
        case [] | ["long"] | ["short"]:
            return run(*arguments)
        case ["soak"] | ["soak", "short"]:
            return soak(*arguments[1:])
        case ["replay", line]:
            return replay(line, _tell)
        case ["trace", line]:
            return replay(line, lambda result: print(*result.trace, sep="\n"))
    print(__doc__)
    return 2


def run(form: str = "long") -> int:
    """Run every test of this folder on two processes, and write the report.

    The long form also kills a PostgreSQL again and again, and fails a cluster over.
    """
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="lockstep-faults-") as folder:
        environment = os.environ | {"FAULTS": form, "FAULTS_REPORT": folder}
        failed = [command for command in _commands(form) if _fails(command, environment)]
        parts = {
            path.stem: json.loads(path.read_text()) for path in sorted(Path(folder).glob("*.json"))
        }
    complete = write(parts, form=form, seconds=time.monotonic() - begin)
    return 0 if complete and not failed else 1


def soak(form: str = "long") -> int:
    """Run the soak alone, and tell how it went."""
    with tempfile.TemporaryDirectory(prefix="lockstep-faults-") as folder:
        environment = os.environ | {"FAULTS": form, "FAULTS_REPORT": folder}
        test = f"{FOLDER / 'test_processes.py'}::{SOAK}"
        options = ("-q", "-o", "faulthandler_timeout=0")
        failed = _fails([sys.executable, "-m", "pytest", test, *options], environment)
        for path in Path(folder).glob("soak.json"):
            print(
                *(f"{name}: {told}" for name, told in json.loads(path.read_text()).items()),
                sep="\n",
            )
    return 1 if failed else 0


def _commands(form: str) -> Iterator[list[str]]:
    # A soak takes longer than a test that hangs.
    options = ("-q", "-n", "2", "--dist", "loadfile", "-o", "faulthandler_timeout=0")
    folders = [FOLDER] if form == "short" else [FOLDER, KILLED_SERVER]
    yield [sys.executable, "-m", "pytest", *map(str, folders), *options]
    if form == "long":
        yield [sys.executable, "-m", "tests.failover"]


def _fails(command: list[str], environment: dict[str, str]) -> bool:
    return (
        subprocess.run(command, cwd=FOLDER.parents[1], env=environment, check=False).returncode != 0
    )


def replay(line: str, tell: Callable[[Result], None]) -> int:
    """Play one schedule: a scenario, and what goes wrong where."""
    name, _, schedule = line.partition(" ")
    with shared_postgres() as server, virtual_time(make_database(server, "replayed")) as world:
        result = world.loop.run_until_complete(play(world, SCENARIOS[name], parse(schedule)))
    tell(result)
    return 1 if result.violations else 0


def _tell(result: Result) -> None:
    faults = {hit.rpartition(":")[0]: hit for hit in result.hit}
    print(*(faults.get(edge, edge) for edge in result.trace), sep="\n")
    print(f"the client was told: {result.outcome}")
    print(*(result.violations or ["every promise was kept"]), sep="\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
