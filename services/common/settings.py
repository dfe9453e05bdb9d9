"""Settings from the environment (`LOCKSTEP_<NAME>`), validated as a whole.

A service subclasses `CommonSettings` in its own `settings.py`. This module alone derives
defaults from other settings: folders, gRPC targets and database URLs.
"""

import hashlib
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.common.currencies import digits_of
from services.common.files import FileProblem, damaged, read_file
from services.kernel.db import urls

PREFIX: Final = "LOCKSTEP_"
WORKER_PORT_STEP: Final = 100
LOOPBACK_OF: Final = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - nothing is bound
LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")
FILE: Final = "_FILE"
SECRET_ENDINGS: Final = ("_url", "_secret", "_password")

S = TypeVar("S", bound="CommonSettings")


class SettingsError(Exception):
    """Settings are wrong. Each has a line with its name and the remedy, and never a secret."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems: Final = tuple(dict.fromkeys(problems))
        super().__init__("\n".join(self.problems))


def load(cls: type[S]) -> S:
    """Read the settings of one service.

    Raises:
        SettingsError: Settings are wrong; the error names all of them.
    """
    try:
        return cls(**_from_files(cls))
    except ValidationError as error:
        raise SettingsError(_problems(cls, error)) from None


def _from_files(cls: type["CommonSettings"]) -> dict[str, Any]:
    """Read the URLs whose files are named (`..._URL_FILE`): a URL may hold a password."""
    found, problems = dict[str, Any](), list[str]()
    for name in filter(has_file, cls.model_fields):
        setting = variable(name)
        path = os.environ.get(f"{setting}{FILE}")
        if not path:
            continue
        remedy = f"put the URL into it, or change {setting}{FILE}"
        if os.environ.get(setting):
            problems.append(f"{setting} and {setting}{FILE} are both set: set one of them")
            continue
        try:
            found[name] = read_file(Path(path), remedy=remedy).decode().strip()
        except UnicodeDecodeError:
            problems.append(str(damaged(Path(path), "a URL", remedy=remedy)))
        except FileProblem as error:
            problems.append(str(error))
    if problems:
        raise SettingsError(problems)
    return found


def has_file(name: str) -> bool:
    """Return whether a field may be in a file."""
    return name.endswith("_url")


def load_all(*classes: type["CommonSettings"]) -> list["CommonSettings"]:
    """Read the settings of several services.

    Raises:
        SettingsError: Settings of any service are wrong; the error names all of them.
    """
    loaded, problems = [], list[str]()
    for cls in classes:
        try:
            loaded.append(load(cls))
        except SettingsError as error:
            problems.extend(error.problems)
    if problems:
        raise SettingsError(problems)
    return loaded


def variable(name: str) -> str:
    """Return the name of a field's environment variable."""
    return PREFIX + name.upper()


def as_environment(settings: "CommonSettings") -> dict[str, str]:
    """Return the settings as environment variables, from which `load` makes equal settings.

    Settings without a value are absent. The values are not masked.
    """
    values = {variable(name): getattr(settings, name) for name in type(settings).model_fields}
    return {name: _text(value) for name, value in values.items() if value is not None}


def masked(value: str) -> str:
    """Hide the passwords in a URL, and the token in that of NATS."""
    if urls.is_database_url(value):
        return urls.masked(value)
    value = re.sub(r"((?:nats|tls)://)[^:/?#@,]+@", r"\1***@", value, flags=re.IGNORECASE)
    return re.sub(r"(://[^:/?#@]*):[^/?#]*@", r"\1:***@", value)


def embedded_socket_folder(folder: Path) -> Path:
    """Return the folder of the socket on which a data folder's embedded PostgreSQL listens.

    It is not below the data folder: a socket's path has 107 bytes at most (unix(7)).
    """
    digest = hashlib.sha256(os.fsencode(os.path.realpath(folder.parent) + "/" + folder.name))
    return Path("/tmp") / f"lockstep-{digest.hexdigest()[:12]}"  # noqa: S108 - 0700, owner checked


def embedded_url(folder: Path, database: str) -> str:
    """Return the URL of a database of the embedded PostgreSQL, for any client of libpq."""
    return f"postgresql:///{database}?host={embedded_socket_folder(folder)}&user=lockstep"


def database_of(data: dict[str, Any], database: str) -> str:
    """Derive a service's database URL from the settings before it."""
    if data["database_url"]:
        return urls.on_database(data["database_url"], database)
    return embedded_url(data["home"] / "postgres", database)


def target_of(data: dict[str, Any], service: str) -> str:
    """Derive the gRPC target of a service whose workers run on this machine."""
    ports = worker_ports(data[f"{service}_port"], data["workers"])
    return ",".join(f"{peer_host(data['host'])}:{port}" for port in ports)


def worker_ports(first: int, workers: int) -> list[int]:
    """Return the port of each worker of a service."""
    return [first + WORKER_PORT_STEP * worker for worker in range(workers)]


def peer_host(host: str) -> str:
    """Return the host by which this machine reaches a process that listens on `host`."""
    return LOOPBACK_OF.get(host, host)


def _absolute(path: Path) -> Path:
    return path.expanduser().absolute()


def _postgres_url(url: str) -> str:
    urls.parse(url)
    return url


def _smtp_url(url: str) -> str:
    if re.match(r"smtps?://[^\s/]+", url) and _has_server(url):
        return url
    raise ValueError("must be a URL, smtp://user:password@host:port")


def _nats_url(urls: str) -> str:
    servers = [each.strip() for each in urls.split(",")]
    if all(re.match(r"(?i:nats|tls)://", each) and _has_server(each) for each in servers):
        return urls
    raise ValueError("must be URLs, nats://user:password@host:port or tls://host:port")


def _has_server(url: str) -> bool:
    """Say whether a URL has a host and a right port. The error could quote the password."""
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _target(target: str) -> str:
    for part in target.split(","):
        if not re.fullmatch(r"\s*(\S+:\d{1,5}|\w+:\S+)\s*", part):
            raise ValueError("must be host:port, several separated by commas, or dns:///name:port")
    return target


def _currency(code: str) -> str:
    if digits_of(code) is None or not code.isupper():
        raise ValueError("must be a code of ISO 4217 such as EUR, of a currency that has decimals")
    return code


CurrencyCode = Annotated[str, AfterValidator(_currency)]
NatsUrl = Annotated[str, AfterValidator(_nats_url)]
Folder = Annotated[Path, AfterValidator(_absolute)]
PostgresUrl = Annotated[str, AfterValidator(_postgres_url)]
SmtpUrl = Annotated[str, AfterValidator(_smtp_url)]
Target = Annotated[str, AfterValidator(_target)]
Port = Annotated[int, Field(ge=1, le=65535)]
OptionalPort = Annotated[int, Field(ge=0, le=65535)]


class CommonSettings(BaseSettings):
    """The settings that every service and the command share."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="ignore", frozen=True
    )

    home: Folder = Field(
        default=Path(".lockstep"),
        validate_default=True,
        description="data folder: postgres/, mail/, keys/, logs/",
    )
    env: Literal["prod", "test"] = Field(
        default="prod", description="test allows cheap password hashes"
    )
    host: str = Field(default="127.0.0.1", min_length=1, description="IP or host name to listen on")
    workers: int = Field(
        default=1,
        ge=1,
        le=64,
        description="processes of each service; worker i listens on its port + 100 i",
    )
    gateway_port: Port = Field(default=8080, description="HTTP port of the gateway")
    auth_port: Port = Field(default=50051, description="gRPC port of Auth")
    profile_port: Port = Field(default=50052, description="gRPC port of Profile")
    commerce_port: Port = Field(default=50053, description="gRPC port of Commerce")
    metrics_host: str = Field(
        default="127.0.0.1",
        min_length=1,
        description="IP or host name of the management ports: /metrics, /livez and /readyz",
    )
    gateway_metrics_port: OptionalPort = Field(
        default=9080, description="management port of the gateway; 0 switches it off"
    )
    auth_metrics_port: OptionalPort = Field(
        default=9051, description="management port of Auth; 0 switches it off"
    )
    profile_metrics_port: OptionalPort = Field(
        default=9052, description="management port of Profile; 0 switches it off"
    )
    commerce_metrics_port: OptionalPort = Field(
        default=9053, description="management port of Commerce; 0 switches it off"
    )
    reconcile_metrics_port: OptionalPort = Field(
        default=0, description="management port of `lockstep reconcile --every`; 0: it has none"
    )
    relay_metrics_port: OptionalPort = Field(
        default=9055, description="management port of the relay to NATS; 0 switches it off"
    )
    page_port: OptionalPort = Field(
        default=9070, description="port of the local page of `lockstep up`; 0 switches it off"
    )
    auth_address: Target = Field(
        default_factory=lambda data: target_of(data, "auth"),
        description="where to call Auth: host:port, several separated by commas, or dns:///name:port",
    )
    profile_address: Target = Field(
        default_factory=lambda data: target_of(data, "profile"),
        description="where to call Profile",
    )
    commerce_address: Target = Field(
        default_factory=lambda data: target_of(data, "commerce"),
        description="where to call Commerce",
    )
    database_url: PostgresUrl | None = Field(
        default=None,
        description="PostgreSQL server of all services; embedded without this and their own URLs",
    )
    database_connections: int = Field(
        default=10, ge=2, le=100, description="most database connections of a process"
    )
    database_pooler: bool = Field(
        default=False,
        description="whether PgBouncer in transaction mode stands before PostgreSQL",
    )
    database_prepared_statements: bool = Field(
        default_factory=lambda data: not data["database_pooler"],
        description="whether statements are prepared; a pooler must be able to keep them",
    )
    keys: Folder = Field(
        default_factory=lambda data: data["home"] / "keys",
        description="trusted.json and a folder of keys a service, made by `lockstep keys init`",
    )
    tls: Literal["off", "server", "mutual"] = Field(
        default="off",
        description="TLS between services: off, server, or mutual, where callers have certificates",
    )
    certs: Folder = Field(
        default_factory=lambda data: data["home"] / "certs",
        description="ca.pem and a folder of a certificate a service, made by `lockstep certs init`",
    )
    tls_cert: Folder | None = Field(
        default=None, description="certificate of this process with its chain (PEM)"
    )
    tls_key: Folder | None = Field(default=None, description="key of LOCKSTEP_TLS_CERT (PEM)")
    tls_ca: Folder | None = Field(
        default=None, description="certificates of the authorities to trust (PEM)"
    )
    address_limits: bool = Field(
        default=True,
        description="whether limits per client IP apply; those per account always do",
    )
    address_limits_factor: int = Field(
        default=1,
        ge=1,
        le=10_000,
        description="how many times as high these limits are, for offices behind one IP",
    )
    events_kept_days: int = Field(
        default=7, ge=1, le=365, description="days for which events can be read"
    )
    nats_url: NatsUrl | None = Field(
        default=None,
        description="NATS servers, separated by commas, to which the relay publishes events",
    )
    nats_credentials: Folder | None = Field(
        default=None, description="credentials file of the relay at NATS (.creds)"
    )
    nats_ca: Folder | None = Field(
        default=None,
        description="certificates of the authorities of NATS (PEM); TLS is then a must",
    )
    nats_kept_days: int = Field(
        default=30, ge=2, le=3650, description="days for which NATS keeps events"
    )
    nats_replicas: int = Field(
        default=1, ge=1, le=5, description="servers of a NATS cluster that keep each event"
    )
    currency: CurrencyCode = Field(
        default="USD",
        description="currency of catalog and wallets, ISO 4217, which the first start settles",
    )
    connection_seconds: float = Field(
        default=30.0,
        ge=1,
        le=86_400,
        description="age at which a service closes a connection, so that callers find new replicas",
    )
    stop_grace_seconds: float = Field(
        default=10.0,
        ge=0,
        le=600,
        description="time that a stop gives to the requests in flight",
    )
    stop_delay_seconds: float = Field(
        default=0.0,
        ge=0,
        le=600,
        description="time in which a stopping process is not ready, but still serves",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="lowest level that is logged"
    )
    log_format: Literal["console", "json"] = Field(
        default="console", description="console for people, json for machines"
    )

    def metrics_port(self, service: str) -> int:
        """Return the management port of a service; 0: it has none."""
        port: int = getattr(self, f"{service}_metrics_port")
        return port


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value)


def _problems(cls: type[CommonSettings], error: ValidationError) -> list[str]:
    """Describe each wrong setting in a line, with its value unless the value may be a secret."""
    lines = []
    for detail in error.errors(include_url=False):
        if detail["type"] == "default_factory_not_called":
            continue  # another setting is wrong, from which this one follows
        name = str(detail["loc"][0])
        field = cls.model_fields[name]
        value = "" if name.endswith(SECRET_ENDINGS) else f" is {detail['input']!r}, but"
        problem = detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
        lines.append(f"{variable(name)}{value} {problem} ({field.description})")
    return lines
