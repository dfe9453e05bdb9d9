"""The logs of the command: one line an event, for people or as JSON."""

from __future__ import annotations

import asyncio
import atexit
import json
import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, TextIO

import structlog

FLUSH_SECONDS: Final = 0.05
TIMESTAMP: Final = "timestamp"
LEVELS: Final = (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL)

Event = dict[str, Any]
Render = Callable[[Event], str]


def start_logging(level: str, form: str) -> None:
    """Send the events of the gateway and of its libraries to standard output.

    Args:
        level: debug, info, warning or error.
        form: json or console.
    """
    lowest = logging.getLevelNamesMapping()[level.upper()]
    lines = BatchedLines(sys.stdout, _renderer(form))
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(),
            structlog.processors.format_exc_info,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(lowest),
        logger_factory=lambda *_: lines,
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=max(lowest, logging.WARNING), handlers=[LibraryHandler()], force=True)
    logging.captureWarnings(capture=True)


class LibraryHandler(logging.Handler):
    """Turns the records of libraries into events, so that one form holds."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log a record as an event with the name of its logger."""
        try:
            level = max(each for each in LEVELS if each <= max(record.levelno, LEVELS[0]))
            log = structlog.get_logger()
            log.log(level, record.getMessage(), logger=record.name, exc_info=record.exc_info)
        except Exception:  # noqa: BLE001 - as logging demands of a handler
            self.handleError(record)


class BatchedLines:
    """Writes events as lines: info a moment later, many at once; warnings and errors now.

    Each write wakes the process at the other end of a pipe, and to make many lines in a row
    halves the cost of each. A process that is killed loses the lines of the last moment.
    """

    def __init__(self, stream: TextIO, render: Render) -> None:
        self._stream = stream
        self._render = render
        self._waiting: list[Event] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        atexit.register(self.flush)

    def info(self, **event: Any) -> None:
        """Write an event within `FLUSH_SECONDS`, or now if no event loop runs."""
        self._waiting.append(event)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.flush()
            return
        if loop is not self._loop:  # this loop has no flush scheduled
            self._loop = loop
            loop.call_later(FLUSH_SECONDS, self.flush)

    def error(self, **event: Any) -> None:
        """Write the events that wait, and this one, now."""
        self._waiting.append(event)
        self.flush()

    debug = info
    warning = critical = error

    def flush(self) -> None:
        """Write the events that wait."""
        waiting, self._waiting, self._loop = self._waiting, [], None
        if waiting:
            self._stream.write("".join([self._line(each) for each in waiting]))
            self._stream.flush()

    def _line(self, event: Event) -> str:
        moment = datetime.fromtimestamp(event[TIMESTAMP], UTC)
        event[TIMESTAMP] = moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
        return self._render(event) + "\n"


def _renderer(form: str) -> Render:
    if form == "json":
        return json.JSONEncoder(default=repr).encode
    if not sys.stdout.isatty():
        return plain
    colourful = structlog.dev.ConsoleRenderer()
    return lambda event: str(colourful(None, event["level"], event))


def plain(event: Event) -> str:
    """Write an event as a line for people, at a third of the cost of structlog's renderer."""
    time, level, name = event.pop(TIMESTAMP), event.pop("level"), event.pop("event")
    trace = event.pop("exception", None)
    rest = " ".join(
        f"{key}={value if type(value) is str and value.isprintable() else repr(value)}"
        for key, value in event.items()
    )
    line = f"{time} [{level:<8}] {name:<12} {rest}".rstrip()
    return line if trace is None else f"{line}\n{trace}"
