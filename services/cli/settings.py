"""`lockstep settings`: shows the settings in effect."""

import json
from typing import Annotated

import typer


def settings(
    *,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="print one JSON object, with usable database URLs"),
    ] = False,
) -> None:
    """Show the effective settings."""
    from services.cli.system import System
    from services.common.settings import masked

    system = System()
    for line in system.unknown_variables():
        typer.echo(f"lockstep: {line}", err=True)
    values = system.values
    if as_json:
        shown = {
            name: value if name.endswith("DATABASE_URL") else masked(value)
            for name, value in values.items()
        }
        typer.echo(json.dumps(shown, indent=2))
    else:
        _print_table({name: masked(value) for name, value in values.items()})


def _print_table(values: dict[str, str]) -> None:
    import os

    from rich.table import Column, Table

    from services.cli.screen import console
    from services.cli.system import SETTINGS
    from services.common.settings import variable

    table = Table("Setting", Column("Value", overflow="fold"), "From", "Meaning")
    fields = {name: field for cls in SETTINGS.values() for name, field in cls.model_fields.items()}
    for name, field in fields.items():
        source = "environment" if os.environ.get(variable(name)) else "default"
        value = values.get(variable(name), "")
        table.add_row(variable(name), value, source, field.description)
    console().print(table)
