"""The last warnings and errors in the logs of `lockstep up`, whatever wrote them."""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

TAIL_BYTES: Final = 512 * 1024
TEXT_MAX: Final = 4000
LEVELS: Final = ("warning", "error")
"""What can be asked for; each with those that are worse."""

_WORSE: Final = {
    "warning": ("warning", "error", "critical"),
    "error": ("error", "critical"),
}
_OWN: Final = re.compile(r"(?P<time>\d{4}-\d\d-\d\dT\S+) \[(?P<level>\w+) *\] (?P<text>.*)")
_POSTGRES: Final = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)\S* UTC (?P<level>[A-Z]+): +(?P<text>.*)"
)
_LEVELS_OF_POSTGRES: Final = {
    "WARNING": "warning",
    "ERROR": "error",
    "FATAL": "error",
    "PANIC": "critical",
}
_KNOWN: Final = ("timestamp", "level", "event", "service", "exception")


@dataclass(frozen=True, slots=True)
class LogEntry:
    """An event of a log.

    Attributes:
        time: As the log has it, in UTC and to the second.
        process: Which process wrote it.
        level: warning, error or critical; info for everything below.
        text: The event with its facts, and a traceback.
    """

    time: str
    process: str
    level: str
    text: str


def last_entries(folder: Path, *, level: str, text: str = "", most: int) -> list[LogEntry]:
    """Return the newest events of all logs that are as bad as `level`, the newest first.

    Args:
        folder: The folder of the logs.
        level: One of `LEVELS`, or `info` for all.
        text: What an event must contain.
        most: The most events.
    """
    wanted = _WORSE.get(level)
    found = [
        entry
        for path in sorted(folder.glob("*.log"))
        for entry in _entries(path)
        if (wanted is None or entry.level in wanted) and text in entry.text
    ]
    return sorted(found, key=lambda entry: entry.time, reverse=True)[:most]


def _entries(path: Path) -> Iterator[LogEntry]:
    current: LogEntry | None = None
    for line in _tail(path):
        entry = _read(path.stem, line)
        if entry is not None:
            if current is not None:
                yield current
            current = entry
        elif current is not None and len(current.text) < TEXT_MAX:  # such as a traceback
            current = replace(current, text=f"{current.text}\n{line}"[:TEXT_MAX])
    if current is not None:
        yield current


def _tail(path: Path) -> list[str]:
    """Return the last lines of a file; the first one may have lost its beginning."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
            return file.read(TAIL_BYTES).decode(errors="replace").splitlines()
    except FileNotFoundError:  # it was just rotated
        return []


def _read(process: str, line: str) -> LogEntry | None:
    """Read a line; None: it belongs to the one before."""
    if line.startswith("{"):
        return _json(process, line)
    if (own := _OWN.fullmatch(line)) is not None:
        time, level, text = own["time"][:19], own["level"], " ".join(own["text"].split())
        return LogEntry(time, process, level, text[:TEXT_MAX])
    return _postgres(process, line)


def _json(process: str, line: str) -> LogEntry | None:
    try:
        told = json.loads(line)
        event, time = str(told["event"]), str(told["timestamp"])[:19]
    except (ValueError, KeyError, TypeError):
        return None
    if (inner := _postgres(process, event)) is not None:  # wrapped by `lockstep up`
        return inner
    facts = " ".join(f"{name}={value}" for name, value in told.items() if name not in _KNOWN)
    text = "\n".join(filter(None, [f"{event} {facts}".strip(), told.get("exception")]))
    return LogEntry(time, process, str(told.get("level", "info")), text[:TEXT_MAX])


def _postgres(process: str, line: str) -> LogEntry | None:
    found = _POSTGRES.fullmatch(line)
    if found is None:
        return None
    level = _LEVELS_OF_POSTGRES.get(found["level"], "info")
    text = f"{found['level']}: {found['text']}"
    return LogEntry(found["time"].replace(" ", "T"), process, level, text[:TEXT_MAX])
