"""Lines of programs, in the form that the log has.

In JSON mode every line is JSON: PostgreSQL, the mail sink and libraries in C write plain text.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

LINE_BYTES_MAX: Final = 1024 * 1024

Wrap = Callable[[str, str], str]
"""Turns the name of a program and a line of it into a line of the log."""


def as_it_is(_name: str, line: str) -> str:
    """Return the line."""
    return line


def as_json(name: str, line: str) -> str:
    """Return the line if it is a JSON object; if not, an event with the line."""
    return event(name, line) if _object_of(line) is None else line


def event(name: str, text: str, **facts: object) -> str:
    """Return an event of a program as a JSON object."""
    now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    told = {"timestamp": now, "level": "info", "service": name, "event": text, **facts}
    return json.dumps(told)


def told_in(line: str) -> str:
    """Return what a line tells people: the event of a JSON object, or the line itself."""
    told = _object_of(line)
    return line.strip() if told is None else str(told.get("event", line))


def _object_of(line: str) -> dict[str, Any] | None:
    if not line.startswith("{"):
        return None
    try:
        told: dict[str, Any] = json.loads(line)
    except ValueError:
        return None
    return told


class Splitter:
    """Cuts the output of a program into lines, and leaves out lines that are too long."""

    def __init__(self) -> None:
        self._rest = b""
        self._is_too_long = False

    def lines(self, block: bytes) -> list[str]:
        """Return the lines that end in the next block of the output."""
        *lines, self._rest = (self._rest + block).split(b"\n")
        if self._is_too_long and lines:
            del lines[0]
            self._is_too_long = False
        if self._is_too_long or len(self._rest) > LINE_BYTES_MAX:
            self._is_too_long, self._rest = True, b""
        return [_text(line) for line in lines if len(line) <= LINE_BYTES_MAX]

    def rest(self) -> list[str]:
        """Return the last line if the output has ended within it."""
        return [_text(self._rest)] if self._rest else []


def _text(line: bytes) -> str:
    return line.decode(errors="replace").rstrip()
