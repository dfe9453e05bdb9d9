"""A rolling restart stops a process only when another one can take all its calls."""

import asyncio
import contextlib
import os
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.cli import rolling, supervisor
from services.cli.errors import CommandError
from services.cli.health import READY, readiness
from services.cli.program import Program
from services.cli.rolling import roll
from services.cli.supervisor import Supervisor
from tests.ports import free_port
from tests.waiting import until

# A process whose management port tells what its folder says.
REPLICA = """
    import http.server, pathlib, sys
    folder = pathlib.Path(sys.argv[1])
    class Management(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path == "/readyz":
                text = (folder / "readyz").read_text()
            else:
                text = (folder / "callers").read_text()
                text = f'lockstep_callers{{scope="lockstep"}} {text}.0' if text else "other 1.0"
            self.send_response(200)
            self.end_headers()
            self.wfile.write(text.encode())
        def log_message(self, *_): pass
    http.server.HTTPServer(("127.0.0.1", int(sys.argv[2])), Management).serve_forever()
"""


class Service:
    """Processes of one service, and what is known of each."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.lines: list[str] = []
        self.supervisor = Supervisor(
            home=home,
            echo=lambda name, texts: self.lines.extend(f"{name}: {text}" for text in texts),
            grace_seconds=2,
        )

    def program(self, name: str) -> Program:
        folder, port = self.home / name, free_port()
        folder.mkdir()
        self.tell(name, callers="3", readyz=READY)

        async def is_ready() -> bool:
            return await readiness(f"127.0.0.1:{port}") == READY

        return Program(
            name=name,
            argv=[sys.executable, "-c", textwrap.dedent(REPLICA), str(folder), str(port)],
            probe=is_ready,
            environment=dict(os.environ),
            service="auth",
            management=f"127.0.0.1:{port}",
        )

    def tell(self, name: str, **facts: str) -> None:
        for fact, text in facts.items():
            (self.home / name / fact).write_text(text)

    async def roll(self, *, may_interrupt: bool = False) -> list[str]:
        rolled = roll(self.supervisor, self.supervisor.runners, may_interrupt=may_interrupt)
        return [name async for name in rolled]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rolling, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(rolling, "FOUND_SECONDS_MAX", 1.0)


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    service = Service(tmp_path)
    async with service.supervisor:
        service.supervisor.start(service.program("auth"), service.program("auth-1"))
        await service.supervisor.wait_ready()
        yield service


async def test_the_processes_are_restarted_one_after_the_other(service: Service) -> None:
    pids = [each.pid for each in service.supervisor.runners]
    assert await service.roll() == ["auth", "auth-1"]
    assert not {each.pid for each in service.supervisor.runners} & set(pids)


async def test_a_process_goes_on_until_all_its_callers_have_found_the_new_one(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rolling, "FOUND_SECONDS_MAX", 20.0)
    service.tell("auth", callers="3")
    _, second = service.supervisor.runners
    before = second.pid
    rolled = asyncio.create_task(service.roll())
    await until(lambda: "auth: stopped, as asked; starting again" in service.lines)
    service.tell("auth", callers="2")  # as a busy caller has not come back yet
    await until(lambda: sum("auth: ready" in line for line in service.lines) == 2)

    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(rolled), 1.0)
    assert (second.pid, rolled.done()) == (before, False)

    service.tell("auth", callers="3")
    assert await rolled == ["auth", "auth-1"]
    assert second.pid != before


@pytest.mark.parametrize(
    ("facts", "lack"),
    [
        ({"callers": "2"}, "auth-1 has 2 of 3 callers"),
        ({"readyz": "the database is silent"}, "auth-1 is not SERVING (the database is silent)"),
    ],
)
async def test_a_process_that_no_other_can_stand_in_for_stays_and_the_reason_is_told(
    service: Service, facts: dict[str, str], lack: str
) -> None:
    service.tell("auth-1", **facts)
    before = [each.pid for each in service.supervisor.runners]
    with pytest.raises(CommandError) as refused:
        await service.roll()
    assert str(refused.value) == (
        f"auth was not restarted, as no other process can take its calls: {lack}. "
        "Put that right, or say --interrupt"
    )
    assert [each.pid for each in service.supervisor.runners] == before


async def test_who_says_so_may_interrupt(service: Service) -> None:
    service.tell("auth-1", callers="2")
    assert await service.roll(may_interrupt=True) == ["auth", "auth-1"]


async def test_without_a_count_a_new_process_has_a_while_to_be_found(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("auth", "auth-1"):
        service.tell(name, callers="")
    monkeypatch.setattr(rolling, "UNCOUNTED_SECONDS", 60.0)
    with pytest.raises(CommandError, match="auth-1 has just started"):
        await service.roll()
    monkeypatch.setattr(rolling, "UNCOUNTED_SECONDS", 0.0)
    assert await service.roll() == ["auth", "auth-1"]


async def test_a_process_that_does_not_become_ready_is_quoted(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "READY_SECONDS_MAX", 1.0)
    service.tell("auth", readyz="the database is at 0003, behind 0004")
    with pytest.raises(CommandError) as refused:
        await service.supervisor.restart(service.supervisor.runners[0])
    assert str(refused.value) == (
        "auth was not ready after 1 s (the database is at 0003, behind 0004): "
        f"see {service.home / 'logs' / 'auth.log'}"
    )
