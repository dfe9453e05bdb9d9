"""Programs that run together: restarted after a crash, stopped in order, never left behind."""

import asyncio
import contextlib
import dataclasses
import math
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import psutil
import pytest

from services.cli import supervisor
from services.cli.errors import CommandError
from services.cli.processes import wait
from services.cli.program import BACKOFF_SECONDS_MAX, Program, stop_leftovers
from services.cli.supervisor import Stopped, Supervisor
from tests.cli.conftest import ROOT
from tests.ports import free_port

GRPC_SERVICE = """
    import signal, sys
    from concurrent.futures import ThreadPoolExecutor
    import grpc
    from grpc_health.v1 import health, health_pb2, health_pb2_grpc
    server = grpc.server(ThreadPoolExecutor(2), options=[("grpc.so_reuseport", 0)])
    servicer = health.HealthServicer()
    servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
    signal.signal(signal.SIGTERM, lambda *_: server.stop(1))
    server.start()
    print("fake service", flush=True)
    server.wait_for_termination()
"""
OBEDIENT = """
    import signal
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    print("up", flush=True)
    signal.sigwait({signal.SIGTERM})
    print("down", flush=True)
"""
STUBBORN = """
    import signal
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("up", flush=True)
    while True: signal.pause()
"""
CRASHING = "import sys; print('cannot work', flush=True); sys.exit(3)"

Lines = list[tuple[str, str]]


class Stage:
    """A supervisor whose lines can be waited for."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.lines: Lines = []
        self._news = asyncio.Event()
        self.supervisor = Supervisor(home=home, echo=self._echo, grace_seconds=2.0)

    def _echo(self, name: str, texts: Sequence[str]) -> None:
        self.lines.extend((name, text) for text in texts)
        self._news.set()

    async def shows(self, name: str, text: str, times: int = 1) -> None:
        async with asyncio.timeout(20):
            while sum(text in line for who, line in self.lines if who == name) < times:
                self._news.clear()
                await self._news.wait()

    def program(self, name: str, script: str, *arguments: str) -> Program:
        async def is_up() -> bool:
            return (name, "up") in self.lines

        argv = [sys.executable, "-c", textwrap.dedent(script), *arguments]
        return Program(name=name, argv=argv, probe=is_up, environment=dict(os.environ))


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    stage = Stage(tmp_path)
    async with stage.supervisor:
        yield stage


def pid_of(stage: Stage, name: str) -> int:
    return int((stage.home / "run" / f"{name}.pid").read_text().split()[0])


def has_ended(pid: int) -> bool:
    """Wait for the end of a process that was told to end."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        return wait([process], 10) == []
    return True


async def test_lines_of_a_program_are_shown_and_kept(stage: Stage) -> None:
    stage.supervisor.start(stage.program("auth", OBEDIENT))

    await stage.supervisor.wait_ready()

    assert ("auth", "up") in stage.lines
    assert (stage.home / "logs" / "auth.log").read_text() == "up\n"


async def test_a_killed_program_is_restarted_and_said_so(stage: Stage) -> None:
    stage.supervisor.start(stage.program("auth", OBEDIENT))
    await stage.shows("auth", "up")
    first = pid_of(stage, "auth")

    os.kill(first, signal.SIGKILL)

    await stage.shows("auth", "was ended by SIGKILL; restarting in 0.2 s")
    await stage.shows("auth", "up", times=2)
    assert pid_of(stage, "auth") != first


async def test_a_grandchild_that_holds_the_output_open_does_not_hold_up_the_restart(
    stage: Stage,
) -> None:
    script = """
        import subprocess, sys
        print("up", subprocess.Popen(["sleep", "30"]).pid, flush=True)
        sys.exit(7)
    """
    stage.supervisor.start(stage.program("auth", script))

    await stage.shows("auth", "ended with code 7; restarting")

    for line in (line for _, line in stage.lines if line.startswith("up ")):
        os.kill(int(line.split()[1]), signal.SIGKILL)


async def test_restarts_slow_down_and_never_end(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.cli.program.BACKOFF_SECONDS_MIN", 0.01)
    monkeypatch.setattr("services.cli.program.BACKOFF_SECONDS_MAX", 0.05)
    stage.supervisor.start(stage.program("auth", CRASHING))

    await stage.shows("auth", "ended with code 3; restarting", times=6)

    pauses = [line.split()[-2] for _, line in stage.lines if "restarting" in line]
    assert pauses[:2] == ["0.0", "0.0"]
    assert pauses[-1] == "0.1"
    assert BACKOFF_SECONDS_MAX == 5.0


async def test_a_program_that_cannot_start_ends_the_start(stage: Stage) -> None:
    stage.supervisor.start(stage.program("auth", CRASHING), stage.program("mail", OBEDIENT))

    with pytest.raises(CommandError, match=r"auth does not start \(cannot work\): see .*auth.log"):
        await stage.supervisor.wait_ready()


class Gateway:
    """Programs of which one reaches the other, until that one has been restarted."""

    def __init__(self, stage: Stage, *, refusals: float) -> None:
        self._stage = stage
        self._ups = 1
        self._refusals = refusals
        self.looks = 0

    async def start(self) -> None:
        programs = {"auth": self._is_up, "gateway": self._reaches_auth}
        for name, probe in programs.items():
            program = self._stage.program(name, OBEDIENT)
            self._stage.supervisor.start(dataclasses.replace(program, probe=probe))
        await self._stage.supervisor.wait_ready()

    async def restart_auth(self) -> None:
        self._ups, self.looks = 2, -1  # the first look is before the restart
        await self._stage.supervisor.restart(self._stage.supervisor.runners[0])

    async def _is_up(self) -> bool:
        return self._stage.lines.count(("auth", "up")) >= self._ups

    async def _reaches_auth(self) -> bool:
        self.looks += 1
        return self._ups == 1 or self.looks == 0 or self.looks > self._refusals


async def test_a_restart_ends_when_what_worked_before_works_again(stage: Stage) -> None:
    gateway = Gateway(stage, refusals=3)
    await gateway.start()

    await gateway.restart_auth()

    assert gateway.looks == 4


async def test_a_restart_names_what_does_not_work_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = Gateway(stage, refusals=math.inf)
    await gateway.start()
    monkeypatch.setattr(supervisor, "READY_SECONDS_MAX", 5.0)

    with pytest.raises(CommandError, match=r"gateway was not ready again after 5 s: see .*gateway"):
        await gateway.restart_auth()


async def test_a_restart_waits_for_nothing_that_was_broken_before(stage: Stage) -> None:
    async def is_broken() -> bool:
        return False

    stage.supervisor.start(stage.program("auth", OBEDIENT))
    await stage.supervisor.wait_ready()
    broken = dataclasses.replace(stage.program("profile", OBEDIENT), probe=is_broken)
    stage.supervisor.start(broken)

    await stage.supervisor.restart(stage.supervisor.runners[0])

    assert stage.lines.count(("auth", "down")) == 1


async def test_stages_stop_last_first_and_nothing_is_restarted(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    async with stage.supervisor:
        for name in ("postgres", "auth", "gateway"):
            stage.supervisor.start(stage.program(name, OBEDIENT))
        await stage.supervisor.wait_ready()

    ends = [name for name, line in stage.lines if line == "down"]
    assert ends == ["gateway", "auth", "postgres"]
    assert not any("restarting" in line for _, line in stage.lines)
    assert list((tmp_path / "run").iterdir()) == []


async def test_a_program_that_ignores_the_signal_is_killed_after_its_grace(
    tmp_path: Path,
) -> None:
    stage = Stage(tmp_path)
    stage.supervisor._grace_seconds = 0.2  # type: ignore[misc]  # it is Final
    async with stage.supervisor:
        stage.supervisor.start(stage.program("auth", STUBBORN))
        await stage.supervisor.wait_ready()
        pid = pid_of(stage, "auth")

    assert ("auth", "did not stop in 0 s: killed") in stage.lines
    assert not psutil.pid_exists(pid)


async def test_a_signal_ends_the_waiting_and_a_second_one_hurries(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.supervisor._grace_seconds = 60.0  # type: ignore[misc]  # it is Final
    async with asyncio.timeout(20):
        async with stage.supervisor:
            stage.supervisor.start(stage.program("auth", STUBBORN))
            await stage.supervisor.wait_ready()
            os.kill(os.getpid(), signal.SIGINT)
            await stage.supervisor.wait_stopped()
            asyncio.get_running_loop().call_later(0.1, os.kill, os.getpid(), signal.SIGINT)

    assert not any("restarting" in line for _, line in stage.lines)


async def test_a_signal_during_the_start_ends_the_start(stage: Stage) -> None:
    stage.supervisor.start(stage.program("auth", "import time; time.sleep(60)"))
    asyncio.get_running_loop().call_later(0.1, os.kill, os.getpid(), signal.SIGTERM)

    with pytest.raises(Stopped):
        await stage.supervisor.wait_ready()


async def test_an_endless_line_does_not_stop_the_reading(stage: Stage) -> None:
    script = "import time; print('x' * 3_000_000); print('up', flush=True); time.sleep(60)"
    stage.supervisor.start(stage.program("auth", script))

    await stage.supervisor.wait_ready()


async def test_a_grpc_service_is_ready_when_it_reports_serving(stage: Stage) -> None:
    from services.cli.health import is_serving

    port = str(free_port())

    async def probe() -> bool:
        return await is_serving(f"127.0.0.1:{port}")

    assert not await probe()
    argv = [sys.executable, "-c", textwrap.dedent(GRPC_SERVICE), port]
    stage.supervisor.start(
        Program(name="auth", argv=argv, probe=probe, environment=dict(os.environ))
    )
    await stage.supervisor.wait_ready()

    assert await probe()


async def test_the_gateway_is_ready_when_readyz_says_so() -> None:
    from services.cli.health import is_serving

    answers = iter([b"HTTP/1.1 503 Service Unavailable\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"])

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        assert request.startswith(b"GET /readyz HTTP/1.1\r\n")
        writer.write(next(answers))
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        assert [await is_serving(url), await is_serving(url)] == [False, True]


def killed_supervisor(home: Path, script: str) -> int:
    """Kill a supervisor whose program runs, and return the program's id."""
    source = f"""
        import asyncio, os, pathlib, signal, sys
        sys.path.insert(0, {str(ROOT)!r})
        from services.cli.program import Program
        from services.cli.supervisor import Supervisor
        async def main():
            home, up = pathlib.Path({str(home)!r}), asyncio.Event()
            argv = [sys.executable, "-c", {textwrap.dedent(script)!r}]
            async with Supervisor(home=home, echo=lambda *_: up.set(), grace_seconds=1) as it:
                it.start(Program("auth", argv, up.wait, dict(os.environ)))
                await up.wait()
                print((home / "run" / "auth.pid").read_text().split()[0], flush=True)
                os.kill(os.getpid(), signal.SIGKILL)
        asyncio.run(main())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(source)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="prctl(2) is Linux's")
def test_programs_end_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    pid = killed_supervisor(tmp_path, OBEDIENT)

    assert has_ended(pid)


def test_a_program_left_over_by_a_killed_supervisor_is_stopped_by_the_next(
    tmp_path: Path,
) -> None:
    pid = killed_supervisor(tmp_path, STUBBORN)
    assert psutil.pid_exists(pid)

    assert stop_leftovers(tmp_path, grace_seconds=0.2) == ["auth"]

    assert has_ended(pid)
    assert stop_leftovers(tmp_path, grace_seconds=0.2) == []


def test_a_pid_file_of_a_process_that_is_gone_harms_nobody(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with subprocess.Popen(["sleep", "60"]) as bystander:
        (tmp_path / "run" / "auth.pid").write_text(f"{bystander.pid} 12345.0")
        (tmp_path / "run" / "mail.pid").write_text("nonsense")

        assert stop_leftovers(tmp_path, grace_seconds=0.2) == []

        assert bystander.poll() is None
        bystander.kill()


def test_the_supervisor_loads_nothing_that_only_services_need() -> None:
    code = "import sys, services.cli.running; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    ).stdout.split()
    assert "services.cli.supervisor" in loaded
    heavy = {"sqlalchemy", "alembic", "opentelemetry.sdk", "granian", "starlette", "limits"}
    assert heavy & set(loaded) == set()
