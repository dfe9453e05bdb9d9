"""A whole Lockstep: the real command, on ports of its own."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from pathlib import Path
from typing import IO

import psutil

from services.cli.postgres import EmbeddedPostgres
from tests.environment import without_settings
from tests.ports import settings_of_ports
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
READY = "Ctrl-C stops everything"
READY_SECONDS = 90
STOP_SECONDS = 60
MAIL_SECONDS = 15
LINES_SHOWN = 60


@dataclass
class Stack:
    """A running Lockstep.

    Attributes:
        environment: The settings of its processes.
        lines: What its processes have printed.
    """

    environment: dict[str, str]
    lines: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Return the URL of the gateway."""
        return f"http://127.0.0.1:{self.environment['LOCKSTEP_GATEWAY_PORT']}"

    @property
    def home(self) -> Path:
        """Return the data folder."""
        return Path(self.environment["LOCKSTEP_HOME"])

    def last_lines(self) -> str:
        """Return what its processes printed last."""
        return "\n".join(self.lines[-LINES_SHOWN:])

    def run(self, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
        """Run `lockstep` with arguments, and return how it ended."""
        argv = [sys.executable, "-m", "services.cli", *arguments]
        return subprocess.run(
            argv, env=self.environment, input=text, capture_output=True, text=True, check=False
        )

    def command(self, *arguments: str, text: str = "") -> str:
        """Run `lockstep` with arguments, which must work, and return its output."""
        done = self.run(*arguments, text=text)
        assert done.returncode == 0, done.stderr
        return done.stdout

    @contextlib.contextmanager
    def stopped(self, service: str) -> Iterator[None]:
        """Stop a service during the context: it listens, but does not answer."""
        pid = int((self.home / "run" / f"{service}.pid").read_text().split()[0])
        process = psutil.Process(pid)
        process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.send_signal(signal.SIGCONT)

    def code(self, email: str) -> str:
        """Return the code of the newest mail to an e-mail, once it has come."""
        return self._mailed(email, re.compile(r"^Subject: (\d{6}) ", re.MULTILINE))

    def invitation(self, email: str, *, role: str) -> str:
        """Invite a person, and return the token of the mail."""
        self.command("admin", "invite", "--email", email, "--role", role)
        return self._mailed(email, re.compile(r"^ *([\w-]{64})$", re.MULTILINE))

    def _mailed(self, email: str, pattern: re.Pattern[str]) -> str:
        return wait_until(
            lambda: self._look_in_mail(email, pattern),
            seconds=MAIL_SECONDS,
            told=lambda: f"nothing was mailed to {email}",
        )

    def _look_in_mail(self, email: str, pattern: re.Pattern[str]) -> str:
        for path in sorted((self.home / "mail").glob("*.eml"), reverse=True):
            message = message_from_bytes(path.read_bytes(), policy=policy.default)
            body = message.get_body(("plain",))
            text = f"Subject: {message['subject']}\n" + ("" if body is None else body.get_content())
            found = pattern.search(text.replace("\r\n", "\n"))
            if email.lower() in message["to"].lower() and found:
                path.unlink()
                return found[1]
        return ""


@contextlib.contextmanager
def running_stack(**changes: str) -> Iterator[Stack]:
    """Run `lockstep up` until the context ends, with settings beside those of a test."""
    with tempfile.TemporaryDirectory(prefix="lockstep-web-") as folder:
        stack = Stack(environment(Path(folder) / "home") | changes)
        with up(stack):
            yield stack
        EmbeddedPostgres(stack.home / "postgres").destroy()


@contextlib.contextmanager
def up(stack: Stack) -> Iterator[None]:
    """Run `lockstep up` in the folder of a stack until the context ends."""
    process = subprocess.Popen(
        [sys.executable, "-m", "services.cli", "up"],
        env=stack.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    ready = threading.Event()
    reader = threading.Thread(target=_read, args=(process.stdout, stack.lines, ready), daemon=True)
    reader.start()
    try:
        assert ready.wait(READY_SECONDS), stack.last_lines()
        assert process.poll() is None, stack.last_lines()
        yield
    except BaseException:
        print(stack.last_lines())
        raise
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(STOP_SECONDS)
        reader.join(STOP_SECONDS)
        process.stdout.close()


def _read(output: IO[str], lines: list[str], ready: threading.Event) -> None:
    for line in output:
        lines.append(line.rstrip())
        if READY in line:
            ready.set()
    ready.set()  # it has ended: do not wait any longer


def environment(home: Path) -> dict[str, str]:
    return (
        without_settings()
        | settings_of_ports()
        | {
            "LOCKSTEP_HOME": str(home),
            "LOCKSTEP_ENV": "test",
            "LOCKSTEP_BCRYPT_COST": "4",
            # All tests have one IP.
            "LOCKSTEP_ADDRESS_LIMITS_FACTOR": "30",
            "LOCKSTEP_GATEWAY_STATIC": str(ROOT / "clients" / "web"),
            "PYTHONPATH": str(ROOT),
            "COLUMNS": "200",
        }
    )
