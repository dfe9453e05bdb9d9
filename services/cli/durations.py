"""Lengths of time as a command reads them: `7d`, `12h`, `30m`, `90s`."""

import re
from datetime import timedelta
from typing import Final

import typer

UNITS: Final = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
AMOUNT_MAX: Final = 100_000


def parse_duration(text: str) -> timedelta:
    """Read a length of time.

    Raises:
        typer.BadParameter: It is not one.
    """
    found = re.fullmatch(r"(\d{1,6})([dhms])", text)
    if found is None or int(found[1]) > AMOUNT_MAX:
        raise typer.BadParameter(f"{text} must be a number with d, h, m or s, such as 7d")
    return timedelta(**{UNITS[found[2]]: int(found[1])})
