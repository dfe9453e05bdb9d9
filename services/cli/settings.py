"""`lockstep settings`: shows the settings in effect."""

import json
from typing import Annotated, Final

import typer

from services.cli.tables import show

COLUMNS: Final = {"setting": "Setting", "value": "Value", "from": "From", "meaning": "Meaning"}


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
        _show({name: masked(value) for name, value in values.items()})


def _show(values: dict[str, str]) -> None:
    import os

    from services.cli.system import SETTINGS
    from services.common.settings import variable

    fields = {name: field for cls in SETTINGS.values() for name, field in cls.model_fields.items()}
    rows = [
        {
            "setting": variable(name),
            "value": values.get(variable(name)),
            "from": "environment" if os.environ.get(variable(name)) else "default",
            "meaning": field.description,
        }
        for name, field in fields.items()
    ]
    show(rows, COLUMNS, empty="there are no settings")
