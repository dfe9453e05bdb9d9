"""The lines of the command: one an event, at once where they matter, with what libraries say."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Iterator

import pytest
import structlog
from lockstep_gateway.command.logs import FLUSH_SECONDS, start_logging

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    configured, root = structlog.get_config(), logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.configure(**configured)
    root.handlers[:], root.level = handlers, level
    logging.captureWarnings(capture=False)


def test_an_event_is_one_line_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    start_logging("info", "console")

    structlog.get_logger().info("request", route="/a", text="two\nlines", status=200)

    written = capsys.readouterr().out
    line = rf"{TIME} \[info    \] request      route=/a text='two\\nlines' status=200\n"
    assert re.fullmatch(line, written)


def test_an_event_is_one_object_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    start_logging("info", "json")

    structlog.get_logger().info("request", text="two\nlines", other={1}.__class__)

    written = json.loads(capsys.readouterr().out)
    assert re.fullmatch(TIME, written.pop("timestamp"))
    assert written == {
        "event": "request",
        "level": "info",
        "text": "two\nlines",
        "other": "<class 'set'>",
    }


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_failure_has_its_traceback(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    start_logging("info", form)

    try:
        int("odd")
    except ValueError:
        structlog.get_logger().exception("unexpected")

    assert "ValueError: invalid literal" in capsys.readouterr().out


@pytest.mark.parametrize("level", [logging.WARNING, logging.WARNING + 5, logging.CRITICAL + 5])
def test_what_a_library_logs_has_the_same_form(
    level: int, capsys: pytest.CaptureFixture[str]
) -> None:
    start_logging("info", "json")

    logging.getLogger("library").log(level, "%s is odd", "it")

    written = json.loads(capsys.readouterr().out)
    assert (written["event"], written["logger"]) == ("it is odd", "library")


def test_lower_levels_are_silent(capsys: pytest.CaptureFixture[str]) -> None:
    start_logging("warning", "json")

    structlog.get_logger().info("request")

    assert capsys.readouterr().out == ""


async def test_requests_wait_for_one_another_and_warnings_for_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    start_logging("info", "json")
    log = structlog.get_logger()

    log.info("one")
    log.info("two")
    assert capsys.readouterr().out == ""
    log.warning("three")
    assert events(capsys) == ["one", "two", "three"]

    log.info("four")
    async with asyncio.timeout(100 * FLUSH_SECONDS):
        while not (written := events(capsys)):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(FLUSH_SECONDS / 5)
    assert written == ["four"]


def events(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [json.loads(line)["event"] for line in capsys.readouterr().out.splitlines()]
