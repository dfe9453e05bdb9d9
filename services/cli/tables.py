"""Tables of the command: drawn on a terminal, tab-separated for scripts, or JSON.

Scripts get whole values and times in UTC, and nothing else on the standard output.
"""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Final
from uuid import UUID

import typer

if TYPE_CHECKING:
    from rich.table import Table

Value = str | int | float | bool | datetime | UUID | None
Record = Mapping[str, Value]

JsonOption = Annotated[
    bool,
    typer.Option("--json", help="print a JSON object on each line, with times in UTC"),
]
UNLIMITED_WIDTH: Final = 100_000


def show(
    rows: Iterable[Record], headings: Mapping[str, str], *, empty: str, as_json: bool = False
) -> None:
    """Print rows in the form that the reader needs.

    Args:
        rows: The rows; each has a value for each field.
        headings: The heading of each field, in the order of the columns.
        empty: What to say when there are no rows.
        as_json: Whether to print JSON.
    """
    found = list(rows)
    is_terminal = sys.stdout.isatty()
    if as_json:
        for row in found:
            print(json_object({name: row[name] for name in headings}))
    elif is_terminal and found:
        _draw(found, headings)
    else:
        for row in found:
            print("\t".join(_cell(row[name]) for name in headings))
    if not found:
        print(empty, file=sys.stdout if is_terminal and not as_json else sys.stderr)


def show_one(row: Record, *, as_json: bool = False) -> None:
    """Print one thing: a line for each of its fields, or one JSON object."""
    if as_json:
        print(json_object(row))
    elif sys.stdout.isatty():
        _print_records([row], {name: name.replace("_", " ") for name in row})
    else:
        for name, value in row.items():
            print(f"{name}\t{_cell(value)}")


def json_object(row: Record) -> str:
    """Return one thing as a JSON object on one line."""
    return json.dumps({name: _plain(value) for name, value in row.items()})


def visible(text: str) -> str:
    """Return a text on one line; a terminal must not obey what a stranger wrote."""
    return "".join(each if each.isprintable() else _escaped(each) for each in text)


def rfc3339(moment: datetime) -> str:
    """Return a time as machines read it, such as 2026-11-27T02:25:16.120Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _escaped(character: str) -> str:
    return " " if character.isspace() else repr(character)[1:-1]


def _plain(value: Value) -> str | int | float | bool | None:
    if isinstance(value, datetime):
        return rfc3339(value)
    return str(value) if isinstance(value, UUID) else value


def _cell(value: Value) -> str:
    """Return a value for a script."""
    found = _plain(value)
    if isinstance(found, bool):
        return "true" if found else "false"
    return "" if found is None else visible(str(found))


def _shown(value: Value) -> str:
    """Return a value for people, who want local times."""
    if isinstance(value, datetime):
        return value.astimezone().isoformat(" ", "seconds")
    if isinstance(value, bool):
        return "yes" if value else "no"
    return _cell(value)


def _draw(rows: Sequence[Record], headings: Mapping[str, str]) -> None:
    """Draw a table, or a record a row where a table would cut ids in two."""
    from rich.console import Console
    from rich.measure import Measurement

    console = Console(highlight=False)
    table = _table(rows, headings)
    unlimited = console.options.update(width=UNLIMITED_WIDTH)
    if Measurement.get(console, unlimited, table).minimum > console.width:
        _print_records(rows, headings)
    else:
        console.print(table)


def _table(rows: Sequence[Record], headings: Mapping[str, str]) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for heading in headings.values():
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(Text(_shown(row[name])) for name in headings))
    return table


def _print_records(rows: Sequence[Record], headings: Mapping[str, str]) -> None:
    width = max(len(heading) for heading in headings.values())
    for number, row in enumerate(rows):
        if number:
            print()
        for name, heading in headings.items():
            print(f"{heading:<{width}}  {_shown(row[name])}".rstrip())
