"""The arguments of the command: one for each setting."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Final

from lockstep_gateway.command.settings import CommandSettings, ConfigError, fields, load
from pydantic.fields import FieldInfo

PROGRAM: Final = "lockstep-gateway"
CONFIG: Final = "config"
UPSTREAM: Final = "upstream"
EPILOG: Final = (
    "Each setting may also be a variable (GATEWAY_PORT) or a line of the file of --config"
    " (port = 8080). An argument wins over a variable, and a variable over the file."
    " SIGHUP lets the gateway ask the upstreams, or read the descriptors, anew."
)


def read_settings() -> CommandSettings:
    """Read the arguments and the settings behind them; leave the process if they are wrong."""
    parser = _parser()
    given = {name: value for name, value in vars(parser.parse_args()).items() if value is not None}
    config = given.pop(CONFIG, None)
    try:
        settings = load(given, config)
    except ConfigError as error:
        parser.exit(2, "".join(f"{PROGRAM}: {line}\n" for line in str(error).splitlines()))
    if not settings.gateway_upstream:
        parser.error("give --upstream, such as --upstream localhost:50051")
    return settings


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        usage=f"{PROGRAM} --upstream TARGET [--upstream TARGET ...] [option ...]",
        description="Serve gRPC services as HTTP and JSON, by their google.api.http rules.",
        epilog=EPILOG,
        allow_abbrev=False,
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="a TOML file of settings")
    for name, field in fields().items():
        _add(parser, name, CommandSettings.model_fields[field])
    return parser


def _add(parser: argparse.ArgumentParser, name: str, field: FieldInfo) -> None:
    options: dict[str, Any] = {"dest": name, "help": _help(field), "default": None}
    if name == UPSTREAM:
        options |= {"action": "append", "metavar": "TARGET"}
    elif field.annotation is bool:
        options |= {"action": argparse.BooleanOptionalAction}
    else:
        options |= {"metavar": "VALUE"}
    parser.add_argument("--" + name.replace("_", "-"), **options)


def _help(field: FieldInfo) -> str:
    default = field.default
    if isinstance(default, tuple):
        default = ",".join(default)
    text = str(field.description)
    if default not in (None, "", False):
        text += f" (default: {default})"
    return text.replace("%", "%%")
