"""Tables: whole on any terminal, plain for scripts, JSON for programs."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from datetime import UTC, datetime
from fcntl import ioctl
from uuid import UUID

import pytest
from typer.main import get_command

from services.cli.main import app
from services.cli.tables import Record, show, show_one, visible
from tests.cli.conftest import ROOT

ID = UUID("0198a000-0000-7000-8000-000000000001")
HEADINGS = {"id": "Saga", "kind": "Kind", "parked": "Parked", "reason": "Reason", "made": "Made"}
ROW: Record = {
    "id": ID,
    "kind": "registration",
    "parked": True,
    "reason": None,
    "made": datetime(2026, 11, 27, 2, 30, tzinfo=UTC),
}
IT_DOES = "it does something, and says in a line that this is done"
IT_RUNS = "it runs for long, and its logs have LOCKSTEP_LOG_FORMAT=json"
# Why a command has no --json. A new command must have the option, or a reason here.
WITHOUT_JSON = {
    **dict.fromkeys(
        (
            ("admin", "create"),
            ("admin", "demote"),
            ("admin", "end-invitation"),
            ("admin", "import"),
            ("admin", "invite"),
            ("admin", "promote"),
            ("admin", "resend-code"),
            ("admin", "reset-mfa"),
            ("admin", "unlock"),
            ("backup",),
            ("certs", "init"),
            ("certs", "renew"),
            ("keys", "init"),
            ("keys", "retire"),
            ("keys", "rotate"),
            ("keys", "rotate-secret"),
            ("mail", "prune"),
            ("outbox", "retry"),
            ("restart",),
            ("restore",),
            ("seed",),
            ("stop",),
        ),
        IT_DOES,
    ),
    ("up",): IT_RUNS,
    ("health",): "its exit code is the answer",
    ("psql",): "psql has forms of its own",
}


def drawn(columns: int, reason: str | None = None, *, is_empty: bool = False) -> str:
    """Show a saga on a terminal of so many columns, by a process of its own."""
    leader, follower = pty.openpty()
    ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {name: os.environ[name] for name in os.environ if name != "COLUMNS"}
    script = (
        "from tests.cli.test_tables import *\n"
        f"rows = [] if {is_empty} else [{{**ROW, 'reason': {reason!r}}}]\n"
        "show(rows, HEADINGS, empty='there are no sagas')"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=follower,
        cwd=ROOT,
        env=environment | {"PYTHONPATH": str(ROOT), "TERM": "xterm"},
    ) as process:
        os.close(follower)
        parts = []
        with contextlib.suppress(OSError):  # the terminal goes with the process
            while part := os.read(leader, 65536):
                parts.append(part)
        os.close(leader)
        assert process.wait(30) == 0
    return re.sub(r"\x1b\[[\d;]*m", "", b"".join(parts).decode()).replace("\r\n", "\n")


@pytest.mark.parametrize("columns", [50, 60, 80, 120, 200])
def test_an_id_is_whole_on_every_terminal(columns: int) -> None:
    text = drawn(columns)
    assert str(ID) in text
    assert "registration" in text
    assert max(map(len, text.splitlines())) <= columns


def test_an_empty_list_says_so_on_a_terminal() -> None:
    assert drawn(80, is_empty=True) == "there are no sagas\n"


def test_a_script_gets_a_line_a_row_with_whole_values(capsys: pytest.CaptureFixture[str]) -> None:
    show([ROW, ROW], HEADINGS, empty="there are no sagas")
    line = f"{ID}\tregistration\ttrue\t\t2026-11-27T02:30:00.000Z\n"
    assert capsys.readouterr() == (2 * line, "")


def test_a_program_gets_an_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    show([ROW], HEADINGS, empty="there are no sagas", as_json=True)
    assert json.loads(capsys.readouterr().out) == {
        "id": str(ID),
        "kind": "registration",
        "parked": True,
        "reason": None,
        "made": "2026-11-27T02:30:00.000Z",
    }


@pytest.mark.parametrize("as_json", [False, True])
def test_an_empty_list_leaves_the_output_of_scripts_empty(
    capsys: pytest.CaptureFixture[str], *, as_json: bool
) -> None:
    show([], HEADINGS, empty="there are no sagas", as_json=as_json)
    assert capsys.readouterr() == ("", "there are no sagas\n")


def test_one_thing_is_a_line_a_field_or_an_object(capsys: pytest.CaptureFixture[str]) -> None:
    show_one(ROW)
    assert f"id\t{ID}\nkind\tregistration\n" in capsys.readouterr().out
    show_one(ROW, as_json=True)
    assert json.loads(capsys.readouterr().out)["parked"] is True


def test_a_terminal_obeys_no_text_of_a_stranger() -> None:
    assert visible("a\x1b[2Jb\tc\nd\u202ee") == r"a\x1b[2Jb c d\u202ee"
    text = drawn(160, "[bold]\x1b]0;title\x07")
    assert r"[bold]\x1b]0;title\x07" in text


def test_every_command_has_json_or_a_reason() -> None:
    found = dict(commands(get_command(app)))
    without = {path for path, options in found.items() if "--json" not in options}
    assert without == WITHOUT_JSON.keys()
    assert len(found) > len(without)


def commands(command: object, *path: str) -> Iterator[tuple[tuple[str, ...], set[str]]]:
    """Return each command that can be run, with its options."""
    for name, child in getattr(command, "commands", {}).items():
        yield from commands(child, *path, name)
    if not getattr(command, "commands", {}) or getattr(command, "invoke_without_command", False):
        parameters = getattr(command, "params", ())
        if path:
            yield path, {option for each in parameters for option in getattr(each, "opts", ())}
