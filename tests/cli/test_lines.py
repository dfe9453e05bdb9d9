"""Lines in JSON mode, and logs on a disk that is full."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from services.cli.lines import LINE_BYTES_MAX, Splitter, as_json
from services.cli.program import LogFile, Program
from services.cli.screen import Screen
from services.cli.supervisor import Supervisor
from tests.small_disk import small_disk


@pytest.mark.parametrize("line", ["", "LOG:  ready", "{broken", "[1]", '"text"', "{", "ünï\x1b[0m"])
def test_a_line_that_is_no_object_becomes_an_event(line: str) -> None:
    event = json.loads(as_json("postgres", line))
    assert (event["service"], event["level"], event["event"]) == ("postgres", "info", line)


def test_an_object_stays_as_it_is() -> None:
    assert as_json("auth", '{"event": "call"}') == '{"event": "call"}'


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_blocks_of_any_size_give_the_same_lines(size: int) -> None:
    text = "one\n\nünï \r\nthe last".encode()
    splitter = Splitter()
    blocks = [text[start : start + size] for start in range(0, len(text), size)]
    lines = [line for block in blocks for line in splitter.lines(block)]
    assert lines + splitter.rest() == ["one", "", "ünï", "the last"]


@pytest.mark.parametrize("size", [LINE_BYTES_MAX // 3, 4 * LINE_BYTES_MAX])
def test_a_line_that_is_too_long_is_left_out(size: int) -> None:
    text = b"one\n" + b"x" * (LINE_BYTES_MAX + 1) + b"\ntwo\n" + b"x" * LINE_BYTES_MAX + b"\nthree"
    splitter = Splitter()
    blocks = [text[start : start + size] for start in range(0, len(text), size)]
    lines = [line for block in blocks for line in splitter.lines(block)] + splitter.rest()
    assert [line[:5] for line in lines] == ["one", "two", "xxxxx", "three"]


async def test_lines_that_have_come_together_are_passed_on_together(tmp_path: Path) -> None:
    shown: list[list[str]] = []
    ended = asyncio.Event()

    def show(_: str, lines: Sequence[str]) -> None:
        shown.append(list(lines))
        if lines[-1] == "999":
            ended.set()

    code = "import time; print('\\n'.join(map(str, range(1000))), flush=True); time.sleep(60)"
    program = Program("auth", [sys.executable, "-c", code], _up, dict(os.environ))
    async with Supervisor(home=tmp_path, echo=show, grace_seconds=5) as supervisor:
        supervisor.start(program)
        async with asyncio.timeout(20):
            await ended.wait()
    lines = [line for block in shown for line in block if line.isdecimal()]
    assert lines == [str(number) for number in range(1000)]
    assert len(shown) < 20
    kept = (tmp_path / "logs" / "auth.log").read_text().splitlines()
    assert kept[:1000] == lines


async def _up() -> bool:
    return True


def test_a_full_disk_is_told_once_and_so_is_its_end(tmp_path: Path) -> None:
    told: list[str] = []
    path = tmp_path / "auth.log"
    path.symlink_to("/dev/full")
    file = LogFile(path, told.append)
    for number in range(1000):
        file.keep([f"line {number}"])
    assert len(told) == 1
    assert told[0].endswith("so lines are lost: [Errno 28] No space left on device")
    path.unlink()
    file.keep(["again"])
    assert len(told) == 2
    assert told[1].endswith("is written again; 1000 lines were lost")
    assert path.read_text() == "again\n"
    file.close()


def test_a_full_disk_leaves_no_half_line(tmp_path: Path) -> None:
    told: list[str] = []
    with small_disk(tmp_path / "logs", size="64k"):
        file = LogFile(tmp_path / "logs" / "auth.log", told.append)
        line = json.dumps({"event": "x" * 300})
        while not told:
            file.keep([line])
        file.close()
        kept = (tmp_path / "logs" / "auth.log").read_text().split("\n")
    assert kept.pop() == ""
    assert len(kept) > 100
    assert set(kept) == {line}


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
        home=tmp_path, echo=screen.lines, grace_seconds=5, wrap=as_json
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
