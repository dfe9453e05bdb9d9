"""Lines in JSON mode, and logs on a disk that is full."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from services.cli.lines import as_json
from services.cli.program import LogFile, Program
from services.cli.screen import Screen
from services.cli.supervisor import Supervisor


@pytest.mark.parametrize("line", ["", "LOG:  ready", "{broken", "[1]", '"text"', "{", "ünï\x1b[0m"])
def test_a_line_that_is_no_object_becomes_an_event(line: str) -> None:
    event = json.loads(as_json("postgres", line))
    assert (event["service"], event["level"], event["event"]) == ("postgres", "info", line)


def test_an_object_stays_as_it_is() -> None:
    assert as_json("auth", '{"event": "call"}') == '{"event": "call"}'


class Unbuffered(io.StringIO):
    """Writes each text at once."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.file = os.open(path, os.O_WRONLY | os.O_CREAT)

    def write(self, text: str) -> int:
        return os.write(self.file, text.encode())

    def close(self) -> None:
        os.close(self.file)
        super().close()


def unbuffered(path: Path) -> Any:
    return Unbuffered(path)


def test_a_full_disk_is_told_once_and_so_is_its_end(tmp_path: Path) -> None:
    told: list[str] = []
    file = LogFile(tmp_path / "first.log", told.append)
    first = file.setStream(unbuffered(Path("/dev/full")))
    for number in range(1000):
        file.emit(record(f"line {number}"))
    assert len(told) == 1
    assert told[0].endswith("so lines are lost: [Errno 28] No space left on device")
    full = file.setStream(unbuffered(tmp_path / "auth.log"))
    file.emit(record("again"))
    assert len(told) == 2
    assert told[1].endswith("is written again; 1000 lines were lost")
    assert (tmp_path / "auth.log").read_text() == "again\n"
    for each in (first, full, file):
        assert each is not None
        each.close()


async def test_a_full_disk_is_told_in_json_to_machines(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "auth.log").symlink_to("/dev/full")
    screen = Screen(is_json=True)

    async def is_up() -> bool:
        return True

    argv = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
    program = Program("auth", argv, is_up, dict(os.environ))
    async with Supervisor(
        home=tmp_path, echo=screen.line, grace_seconds=5, wrap=as_json
    ) as supervisor:
        supervisor.start(program)
        await supervisor.wait_ready()
        lines = ""
        async with asyncio.timeout(20):
            while '"event": "up"' not in lines:
                await asyncio.sleep(0.02)
                lines += capfd.readouterr().out
    captured = capfd.readouterr()
    assert captured.err == ""
    events = [json.loads(line) for line in (lines + captured.out).splitlines()]
    assert any("so lines are lost: " in each["event"] for each in events)


def record(text: str) -> logging.LogRecord:
    return logging.LogRecord("", 0, "", 0, text, None, None)
