"""A program that is kept running: its output is passed on, and a crash restarts it."""

import asyncio
import contextlib
import functools
import logging
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Final

import psutil

from services.cli import parent_death
from services.cli.lines import LINE_BYTES_MAX, Splitter, Wrap, as_it_is, told_in
from services.cli.processes import is_alive, terminate
from services.common.files import problem_of

BACKOFF_SECONDS_MIN: Final = 0.2
BACKOFF_SECONDS_MAX: Final = 5.0
HEALTHY_SECONDS: Final = 10.0
LAST_LINES_SECONDS: Final = 1.0
BLOCK_BYTES: Final = 256 * 1024
LOG_BYTES_MAX: Final = 10 * 1024 * 1024

Echo = Callable[[str, Sequence[str]], None]
"""Shows lines of a program; takes the program's name and the lines."""


@dataclass(frozen=True, slots=True)
class Program:
    """A command to run, and a probe that tells whether it works."""

    name: str
    argv: Sequence[str]
    probe: Callable[[], Awaitable[bool]]
    environment: Mapping[str, str] = field(repr=False)
    stop_signal: signal.Signals = signal.SIGTERM
    kill_signal: signal.Signals = signal.SIGKILL
    service: str = ""  # whose process it is; none for PostgreSQL and the mail sink
    endpoint: str = ""  # where it can be asked whether it serves
    management: str = ""  # host:port of its management port, if it has one
    is_attached: bool = False  # whether argv ties the process to this one already


class LogFile(RotatingFileHandler):
    """A file of lines that says once that it cannot keep them, such as on a full disk.

    Args:
        path: The file.
        tell: Tells people that lines are lost.
    """

    def __init__(self, path: Path, tell: Callable[[str], None]) -> None:
        super().__init__(path, maxBytes=LOG_BYTES_MAX, backupCount=1, encoding="utf-8")
        self.lost = 0
        self._tell = tell
        self._number = 0

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802, ARG002 - logging's
        """Count the lines that are lost. The next line opens the file again."""
        first, reason = not self.lost, sys.exception()
        self.lost += self._number
        self.close()
        if first:
            self._tell(f"{self.baseFilename} cannot be written, so lines are lost: {reason}")

    def keep(self, lines: Sequence[str]) -> None:
        """Keep lines by one write, and say how many were lost before them."""
        before, self._number = self.lost, len(lines)
        self.emit(logging.LogRecord("", 0, "", 0, "\n".join(lines), None, None))
        if before and self.lost == before:
            self.lost = 0
            self._tell(f"{self.baseFilename} is written again; {before} lines were lost")

    def close(self) -> None:
        """Close the file; a full disk, which has been told already, leaves no half line in it."""
        with contextlib.suppress(OSError):
            super().close()
        _drop_half_line(Path(self.baseFilename))


class Runner:
    """Keeps a program running until `stop`."""

    def __init__(self, program: Program, *, home: Path, echo: Echo, wrap: Wrap = as_it_is) -> None:
        self.program: Final = program
        self.crashes = 0
        self.is_ready = False
        self.begin = 0.0
        self._last_line = ""
        self._pid_file: Final = home / "run" / f"{program.name}.pid"
        self._echo: Final = echo
        self._wrap: Final = wrap
        self._log: Final = _log_file(
            home / "logs" / f"{program.name}.log", functools.partial(self._say, "lockstep")
        )
        self._stopping: Final = asyncio.Event()
        self._is_ordered = False
        self._process: asyncio.subprocess.Process | None = None
        self.task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Run the program, and run it again whenever it ends."""
        self.begin = time.monotonic()
        self.task = asyncio.create_task(self._run(), name=self.program.name)

    async def stop(self, grace_seconds: float) -> None:
        """Ask the program to stop, kill it after `grace_seconds`, and wait for its end."""
        self._stopping.set()
        if self.task is None:
            return
        self._signal(self.program.stop_signal)
        done, _ = await asyncio.wait([self.task], timeout=grace_seconds)
        if not done:
            self.say(f"did not stop in {grace_seconds:.0f} s: killed")
            self.kill()
            await asyncio.wait([self.task], timeout=5.0)

    async def restart(self, grace_seconds: float) -> None:
        """Ask the program to stop, kill it after `grace_seconds`; it is started again at once."""
        process = self._process
        self.is_ready = False
        if process is None or process.returncode is not None:
            return  # it has crashed, and is about to start by itself
        self._is_ordered = True
        self._signal(self.program.stop_signal)
        try:
            async with asyncio.timeout(grace_seconds):
                await process.wait()
        except TimeoutError:
            self.say(f"did not stop in {grace_seconds:.0f} s: killed")
            self._signal(self.program.kill_signal)
            await process.wait()
        self.begin = time.monotonic()

    @property
    def pid(self) -> int | None:
        """The id of the process; None while there is none."""
        process = self._process
        return None if process is None or process.returncode is not None else process.pid

    @property
    def last_line(self) -> str:
        """What the program said last; nothing if it has said nothing."""
        return told_in(self._last_line)

    def kill(self) -> None:
        """End the program at once."""
        self._stopping.set()
        self._signal(self.program.kill_signal)

    async def _run(self) -> None:
        backoff = BACKOFF_SECONDS_MIN
        while not self._stopping.is_set():
            begin = self.begin = time.monotonic()
            code = await self._run_once()
            if self._stopping.is_set():
                break
            if self._is_ordered:
                self._is_ordered = False
                self.say("stopped, as asked; starting again")
                continue
            self.crashes += 1
            if time.monotonic() - begin > HEALTHY_SECONDS:
                backoff = BACKOFF_SECONDS_MIN
            self.say(f"{_ending(code)}; restarting in {backoff:.1f} s")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(backoff):
                    await self._stopping.wait()
            backoff = min(backoff * 2, BACKOFF_SECONDS_MAX)
        self._pid_file.unlink(missing_ok=True)
        self._log.close()

    async def _run_once(self) -> int:
        argv = self.program.argv
        if not self.program.is_attached:
            argv = parent_death.command(list(argv), death_signal=signal.SIGTERM)
        # With asyncio's own pipe, `wait` would wait for a grandchild that holds the pipe open.
        read_end, write_end = os.pipe()
        output = asyncio.create_task(self._pass_on(read_end), name=f"{self.program.name} output")
        try:
            self._process = process = await asyncio.create_subprocess_exec(
                *argv,
                env=dict(self.program.environment),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=write_end,
                stderr=write_end,
                # Ctrl-C must reach this process alone, which stops the programs in order.
                start_new_session=True,
            )
        finally:
            os.close(write_end)
        self._note_pid(process.pid)
        if self._stopping.is_set():
            self._signal(self.program.stop_signal)
        code = await process.wait()
        await asyncio.wait([output], timeout=LAST_LINES_SECONDS)
        output.cancel()
        return code

    def say(self, text: str) -> None:
        """Show a line about the program."""
        self._say(self.program.name, text)

    def _say(self, name: str, text: str) -> None:
        self._echo(name, [self._wrap(name, text)])

    def _note_pid(self, pid: int) -> None:
        """Write down the id of the process; the program runs also when the disk is full."""
        try:
            _write_pid(self._pid_file, pid)
        except OSError as error:
            self._say("lockstep", str(problem_of(error, self._pid_file, remedy="make its folder")))

    async def _pass_on(self, read_end: int) -> None:
        """Pass the lines of the program on, as many at once as have come."""
        stream, splitter = asyncio.StreamReader(), Splitter()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(read_end, "rb", buffering=0)
        )
        with contextlib.closing(transport):
            while block := await stream.read(BLOCK_BYTES):
                self._show(splitter.lines(block))
            self._show(splitter.rest())

    def _show(self, texts: list[str]) -> None:
        if not texts:
            return
        self._last_line = next((text for text in reversed(texts) if text), self._last_line)
        lines = [self._wrap(self.program.name, text) for text in texts]
        self._log.keep(lines)
        self._echo(self.program.name, lines)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)


def python(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module with this interpreter."""
    return [sys.executable, "-m", module, *arguments]


def stop_leftovers(home: Path, grace_seconds: float) -> list[str]:
    """Stop the programs that a killed run left behind, and return their names."""
    found = {path: process for path in _pid_files(home) if (process := _recorded(path))}
    terminate(found.values(), (signal.SIGTERM, signal.SIGKILL), grace_seconds)
    for path in _pid_files(home):
        path.unlink(missing_ok=True)
    return sorted(path.stem for path in found)


def _pid_files(home: Path) -> list[Path]:
    return list((home / "run").glob("*.pid"))


def _write_pid(path: Path, pid: int) -> None:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    with contextlib.suppress(psutil.NoSuchProcess):
        path.write_text(f"{pid} {psutil.Process(pid).create_time()}", "utf-8")


def _recorded(path: Path) -> psutil.Process | None:
    """Return the process of a pid file; a later process with its id has another start time."""
    try:
        pid, create_time = path.read_text("utf-8").split()
        process = psutil.Process(int(pid))
        same = abs(process.create_time() - float(create_time)) < 1.0
    except (psutil.NoSuchProcess, ValueError, OverflowError):
        return None
    return process if same and is_alive(process) else None


def _log_file(path: Path, tell: Callable[[str], None]) -> LogFile:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return LogFile(path, tell)


def _drop_half_line(path: Path) -> None:
    """Cut a file after its last whole line; the next one would go on with half a line."""
    if not path.is_file():
        return  # a device has no end
    with contextlib.suppress(OSError), path.open("rb+") as file:
        size = file.seek(0, os.SEEK_END)
        begin = file.seek(max(0, size - LINE_BYTES_MAX))
        file.truncate(begin + file.read(LINE_BYTES_MAX).rfind(b"\n") + 1)


def _ending(code: int) -> str:
    if code >= 0:
        return f"ended with code {code}"
    return f"was ended by {signal.Signals(-code).name}"
