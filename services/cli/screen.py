"""The output of `lockstep up`: the programs' lines, their endpoints, a first request."""

import os
import re
import sys
from collections.abc import Sequence
from itertools import cycle
from typing import Final

from rich.console import Console
from rich.table import Column, Table

from services.cli.lines import as_json, event

NAME_WIDTH: Final = 11
PIPE_WIDTH: Final = 200
LEVELS: Final = {"warning": 33, "error": 31, "critical": 31}
LEVEL: Final = re.compile(rf"\[({'|'.join(LEVELS)}) *\]")
COLOURS: Final = (36, 33, 35, 32, 34, 96, 93, 95)

FIRST_REQUEST: Final = """\
curl -s {gateway}/v1/auth/register -H 'Content-Type: application/json' -d '{{
  "email": "ada@example.com", "password": "Copper-Kettle-7",
  "full_name": "Ada Lovelace", "phone_number": "+15550100100"}}'"""


def console() -> Console:
    """Make a console that breaks lines for a terminal, but not for a file or a pipe."""
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else PIPE_WIDTH
    return Console(highlight=False, width=width)


class Screen:
    """Shows lines with the name of their program, in its colour on a terminal.

    Args:
        is_json: Whether every line must be a JSON object, without a name before it.
    """

    def __init__(self, *, is_json: bool = False) -> None:
        self._is_json: Final = is_json
        self._console: Final = console()
        self._colours: Final = cycle(COLOURS)
        self._prefixes: Final[dict[str, str]] = {}
        self._is_open = True

    def line(self, name: str, text: str) -> None:
        """Show a line about a program."""
        self.lines(name, [as_json(name, text) if self._is_json else text])

    def lines(self, name: str, lines: Sequence[str]) -> None:
        """Show lines of a program. The programs go on when the reader has gone away.

        Args:
            name: The name of the program.
            lines: Its lines; JSON objects if every line must be one.
        """
        if not self._is_open:
            return
        shown = lines if self._is_json else [self._for_people(name, each) for each in lines]
        try:
            sys.stdout.write("\n".join([*shown, ""]))
            sys.stdout.flush()
        except OSError:
            self._is_open = False

    def endpoints(self, rows: list[tuple[str, str]], gateway: str) -> None:
        """Show the endpoint of each part, and a first request."""
        if self._is_json:
            print(event("lockstep", "running", endpoints=dict(rows)), flush=True)
            return
        table = Table(
            "Part",
            Column("Endpoint", overflow="fold"),
            title="Lockstep is running",
            title_justify="left",
        )
        for row in rows:
            table.add_row(*row)
        self._console.print(table)
        print(
            f"Try:\n{FIRST_REQUEST.format(gateway=gateway)}\n\nCtrl-C stops everything.", flush=True
        )

    def end(self) -> None:
        """Say that everything has stopped."""
        print(as_json("lockstep", "stopped") if self._is_json else "stopped")

    def _for_people(self, name: str, text: str) -> str:
        """Put the name before a line; its level has a colour, as a process writes to a pipe."""
        if self._has_colours:
            text = LEVEL.sub(lambda each: f"\x1b[{LEVELS[each[1]]}m{each[0]}\x1b[0m", text, count=1)
        return f"{self._prefix(name)} {text}"

    @property
    def _has_colours(self) -> bool:
        return self._console.is_terminal and not self._console.no_color

    def _prefix(self, name: str) -> str:
        if name not in self._prefixes:
            plain = f"{name:<{NAME_WIDTH}}|"
            colour = next(self._colours)
            self._prefixes[name] = f"\x1b[{colour}m{plain}\x1b[0m" if self._has_colours else plain
        return self._prefixes[name]
