"""The logs of the command: one line an event, for people or as JSON."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Final, TextIO

import structlog

FLUSH_SECONDS: Final = 0.05


def start_logging(level: str, form: str) -> None:
    """Send the events of the gateway and of its libraries to standard output.

    Args:
        level: debug, info, warning or error.
        form: json or console.
    """
    lowest = logging.getLevelNamesMapping()[level.upper()]
    shared: list[structlog.types.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    ending = _ending(form)
    structlog.configure(
        processors=[*shared, *ending],
        wrapper_class=structlog.make_filtering_bound_logger(lowest),
        # Of a file, structlog calls `write` and `flush` alone.
        logger_factory=structlog.WriteLoggerFactory(Batches(sys.stdout)),  # type: ignore[arg-type] # see above
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    remove = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[remove, *ending],
        )
    )
    logging.basicConfig(level=max(lowest, logging.WARNING), handlers=[handler], force=True)
    logging.captureWarnings(capture=True)


def _ending(form: str) -> list[structlog.types.Processor]:
    if form == "json":
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    colors = sys.stdout.isatty()
    return [structlog.dev.ConsoleRenderer(colors=colors)]


class Batches:
    """A stream that flushes a moment later, so that several lines go out at once.

    Each flush wakes the process at the other end of a pipe.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._loop: asyncio.AbstractEventLoop | None = None

    def write(self, text: str) -> int:
        """Write into the buffer of the stream."""
        return self._stream.write(text)

    def flush(self) -> None:
        """Flush within `FLUSH_SECONDS`, or now if no event loop runs."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._stream.flush()
            return
        if loop is not self._loop:
            self._loop = loop
            loop.call_later(FLUSH_SECONDS, self._flush)

    def _flush(self) -> None:
        self._loop = None
        self._stream.flush()
