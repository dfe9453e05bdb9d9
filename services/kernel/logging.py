"""Structured logs: one line an event, with the ids of the request that caused it."""

from __future__ import annotations

import logging
import sys

import structlog


def configure(*, service: str, level: str = "info", form: str = "json") -> None:
    """Send logs to standard output, as JSON lines or for a person to read.

    Args:
        service: The name of the process, on every line.
        level: debug, info, warning or error.
        form: json or console.
    """
    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _service_namer(service),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_level(level)),
        # A line is one write, so that lines of several threads never mix.
        logger_factory=structlog.WriteLoggerFactory(),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.WARNING, stream=sys.stdout)


def _level(name: str) -> int:
    return logging.getLevelNamesMapping()[name.upper()]


def _service_namer(service: str) -> structlog.types.Processor:
    def add(
        _logger: object, _method: str, event: structlog.types.EventDict
    ) -> structlog.types.EventDict:
        event["service"] = service
        return event

    return add
