"""The settings of the command: arguments, then `GATEWAY_...` variables, then a TOML file."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from lockstep_gateway.settings import GatewayFields
from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

PREFIX: Final = "gateway_"

Port = Annotated[int, Field(ge=0, le=65_535)]


def _words(value: Any) -> Any:
    return tuple(value.split()) if isinstance(value, str) else value


class ConfigError(ValueError):
    """Say which settings are wrong, in a line for each."""


class CommandSettings(GatewayFields, BaseSettings):
    """The settings of the command."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True)

    gateway_upstream: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words)] = Field(
        default=(),
        description=(
            "where services are: host:port, several replicas separated by commas, a gRPC target,"
            " or full.Service=host:port for one service of it; several between spaces"
        ),
    )
    gateway_descriptors: Path | None = Field(
        default=None, description="a FileDescriptorSet with imports, instead of server reflection"
    )
    gateway_upstream_tls: str | None = Field(
        default=None,
        description="reach the upstreams over TLS: a file of certificates to trust, or `system`",
    )
    gateway_strict: bool = Field(
        default=False,
        description="refuse to start if a method cannot be served, instead of leaving it out",
    )
    gateway_method_option: str = Field(
        default="",
        description=(
            "full name of an extension of MethodOptions with the fields success_status, location"
            " and idempotency_key"
        ),
    )
    gateway_host: str = Field(
        default="127.0.0.1", min_length=1, description="IP or host name to listen on"
    )
    gateway_port: Port = Field(default=8080, description="port to listen on; 0 is any free one")
    gateway_metrics_host: str = Field(
        default="127.0.0.1", min_length=1, description="IP or host name for /metrics"
    )
    gateway_metrics_port: Port = Field(
        default=9080, description="port for /metrics; 0 switches it off"
    )
    gateway_tracing: bool = Field(
        default=False,
        description="send spans to a collector, which OTEL_EXPORTER_OTLP_ENDPOINT names",
    )
    gateway_stop_delay_seconds: float = Field(
        default=0.0, ge=0, le=600, description="time in which a stopping gateway still serves"
    )
    gateway_stop_grace_seconds: float = Field(
        default=10.0, ge=0, le=600, description="time that a stop gives to requests in flight"
    )
    gateway_log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="lowest level that is logged"
    )
    gateway_log_format: Literal["console", "json"] = Field(
        default="console", description="console for people, json for machines"
    )


def fields() -> dict[str, str]:
    """Return the fields of the settings by their names in a file."""
    own = [each for each in CommandSettings.__annotations__ if each.startswith(PREFIX)]
    return {each.removeprefix(PREFIX): each for each in (*own, *GatewayFields.model_fields)}


def load(arguments: Mapping[str, Any], config: Path | None) -> CommandSettings:
    """Read the settings.

    Args:
        arguments: The values of arguments, by their names in a file.
        config: The TOML file.

    Raises:
        ConfigError: A setting is wrong.
    """
    names = fields()
    in_file = {} if config is None else _read(config)
    if unknown := sorted(in_file.keys() - names.keys()):
        raise ConfigError(f"{config}: {', '.join(unknown)} must be a name that --help lists")
    given = {name: value for name, value in in_file.items() if not _variable_of(names[name])}
    given |= arguments
    try:
        return CommandSettings(**{names[name]: value for name, value in given.items()})
    except ValidationError as error:
        raise ConfigError("\n".join(_problems(error))) from None


def _variable_of(field: str) -> str | None:
    return os.environ.get(field.upper())


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(f"{path} must be TOML: {error}") from None


def _problems(error: ValidationError) -> Iterator[str]:
    for detail in error.errors(include_url=False):
        name = str(detail["loc"][0])
        description = CommandSettings.model_fields[name].description
        problem = detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
        yield f"{name.upper()} is {detail['input']!r}, but {problem} ({description})"
