"""Times as a command reads them: lengths such as `7d`, `12h`, `30m`, `90s`, and moments."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

import typer

UNITS: Final = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
AMOUNT_MAX: Final = 100_000


def parse_duration(text: str) -> timedelta:
    """Read a length of time.

    Raises:
        typer.BadParameter: It is not one.
    """
    found = _length(text)
    if found is None:
        raise typer.BadParameter(f"{text} must be a number with d, h, m or s, such as 7d")
    return found


def parse_moment(text: str) -> datetime:
    """Read a moment: how long ago it was, or a time of ISO 8601, by default in UTC.

    Raises:
        typer.BadParameter: It is not one.
    """
    if (length := _length(text)) is not None:
        return datetime.now(UTC) - length
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text} must be such as 2h, 7d or 2026-11-27T08:00:00Z") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _length(text: str) -> timedelta | None:
    found = re.fullmatch(r"(\d{1,6})([dhms])", text)
    if found is None or int(found[1]) > AMOUNT_MAX:
        return None
    return timedelta(**{UNITS[found[2]]: int(found[1])})
