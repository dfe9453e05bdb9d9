"""`lockstep up`, the real command with real processes."""

import json
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import psutil
import pytest

from services.cli.postgres import EmbeddedPostgres
from services.cli.processes import is_alive
from services.cli.system import SETTINGS, home_lock, is_installed
from tests.cli.conftest import ROOT, Lockstep, finish
from tests.freezing import frozen
from tests.small_disk import fill, small_disk

pytestmark = pytest.mark.processes
SHOWN_SECONDS = 120.0


@pytest.fixture(autouse=True)
def cluster(home: Path) -> Iterator[EmbeddedPostgres]:
    """Remove the files of `up` at the end."""
    server = EmbeddedPostgres(home / "postgres")
    yield server
    server.destroy()


class Up:
    """A running `lockstep up` whose lines can be waited for."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.lines: list[str] = []
        self.has_ended = False
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._news:
                self.lines.append(line.rstrip())
                self._news.notify_all()
        with self._news:
            self.has_ended = True
            self._news.notify_all()

    def shows(self, text: str, times: int = 1) -> None:
        with self._news:
            self._news.wait_for(
                lambda: self._count(text) >= times or self.has_ended, timeout=SHOWN_SECONDS
            )
        assert self._count(text) >= times, "\n".join(self.lines)

    def _count(self, text: str) -> int:
        return sum(text in line for line in self.lines)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60)
        self._reader.join(10)
        return code


def programs(home: Path) -> dict[str, psutil.Process]:
    return {
        path.stem: psutil.Process(int(path.read_text().split()[0]))
        for path in (home / "run").glob("*.pid")
    }


def test_up_restarts_what_crashes_survives_a_kill_of_itself_and_stops_in_order(
    lockstep: Lockstep, home: Path
) -> None:
    first = Up(lockstep("up"))
    first.shows("Ctrl-C stops everything")
    assert not [line for line in first.lines if "FATAL" in line or "ERROR" in line]
    running = programs(home)
    assert set(running) == {"postgres", "mail", "page", *filter(is_installed, SETTINGS)}

    for name in filter(is_installed, SETTINGS):
        keys = Path(running[name].environ()["LOCKSTEP_KEYS"])
        assert {each.name for each in keys.iterdir()} == {"trusted.json", name}
    for name in ("mail", "postgres"):
        running[name].kill()
        first.shows(f"{name:<11}| was ended by SIGKILL; restarting in 0.2 s")
    first.shows("mail to 127.0.0.1", times=2)
    first.shows("database system is ready to accept connections", times=2)

    left_over = programs(home)
    first.process.kill()
    first.process.wait(10)
    second = Up(lockstep("up"))
    second.shows("Ctrl-C stops everything")
    assert not any(is_alive(process) for process in left_over.values())

    running = programs(home)
    assert second.stop() == 0
    assert second.lines[-1] == "stopped"
    assert not any(is_alive(process) for process in running.values())
    assert list((home / "run").iterdir()) == []


def test_a_second_up_on_the_same_home_is_refused_in_one_line(
    lockstep: Lockstep, home: Path
) -> None:
    with home_lock(home):
        code, output, errors = finish(lockstep("up"))

    assert (code, output) == (1, "")
    assert errors == (
        f"lockstep: {home} is in use by process {os.getpid()}: "
        "stop it, or set LOCKSTEP_HOME to another folder\n"
    )


def test_a_taken_port_is_named_with_its_setting(
    lockstep: Lockstep, environment: dict[str, str]
) -> None:
    port = environment["LOCKSTEP_MAIL_PORT"]
    with socket.create_server(("127.0.0.1", int(port))):
        code, output, errors = finish(lockstep("up"))

    assert (code, output) == (1, "")
    assert errors == (
        f"lockstep: port {port} is taken: stop the process that listens there, "
        "or change LOCKSTEP_MAIL_PORT\n"
    )


def test_a_database_that_cannot_be_reached_is_one_line(lockstep: Lockstep) -> None:
    url = "postgresql://u:hunter2@127.0.0.1:1/x"

    code, output, errors = finish(lockstep("up", LOCKSTEP_DATABASE_URL=url))

    assert (code, errors.count("\n")) == (1, 1)
    assert "LOCKSTEP_AUTH_DATABASE_URL" in errors
    assert "hunter2" not in output + errors


def test_ctrl_c_before_everything_runs_stops_what_does(lockstep: Lockstep, home: Path) -> None:
    up = Up(lockstep("up"))
    up.shows("postgres   | ready")
    running = programs(home)

    assert up.stop() == 0
    assert not any(is_alive(process) for process in running.values())


def until_shown(up: Up, text: str, url: str) -> None:
    """Ask the gateway for what is not there, which it logs, until a line comes."""
    with httpx.Client() as client:
        for _ in range(300):
            if any(text in line for line in up.lines):
                return
            client.get(f"{url}/nowhere")
    up.shows(text)


def test_in_json_mode_every_line_is_an_event_through_freezes_kills_and_a_full_disk(
    lockstep: Lockstep, home: Path, environment: dict[str, str], stack: ExitStack
) -> None:
    """In folders and a locale that nobody tries otherwise."""
    home.mkdir()
    checkout, home = home / "Lock stép 数", home / "Data fôlder 数"
    checkout.symlink_to(ROOT)
    (home / "logs").mkdir(parents=True, mode=0o700)
    left_out: BaseException | None = None
    try:
        stack.enter_context(small_disk(home / "logs", size="16m"))
    except pytest.skip.Exception as reason:
        left_out = reason
    stack.callback(EmbeddedPostgres(home / "postgres").destroy)
    places = {"PYTHONPATH": str(checkout), "LOCKSTEP_HOME": str(home)}
    where = places | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    up = Up(lockstep("up", LOCKSTEP_LOG_FORMAT="json", LOCKSTEP_WORKERS="2", **where))
    up.shows('"event": "running"')
    running = programs(home)
    assert {"auth-1", "gateway-1", "page"} <= running.keys()
    with frozen(running["postgres"]):
        up.shows('"event": "not serving"', times=3)
    for name in ("postgres", "profile", "mail"):
        running[name].kill()
        up.shows("was ended by SIGKILL", times=("postgres", "profile", "mail").index(name) + 1)
    up.shows("database system is ready to accept connections", times=2)
    if left_out is None:
        fill(home / "logs" / "filler")
        gateway = f"http://127.0.0.1:{environment['LOCKSTEP_GATEWAY_PORT']}"
        until_shown(up, "gateway.log cannot be written, so lines are lost", gateway)
        (home / "logs" / "filler").unlink()
        until_shown(up, "gateway.log is written again", gateway)
    assert up.stop() == 0
    kept = [line for path in (home / "logs").iterdir() for line in path.read_text().splitlines()]
    for line in [*up.lines, *kept]:
        event = json.loads(line)
        assert {"event", "level", "service", "timestamp"} <= event.keys(), line
    assert json.loads(up.lines[-1])["event"] == "stopped"
    if left_out is not None:
        raise left_out
