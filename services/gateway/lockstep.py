"""The gateway's adapter to Lockstep: settings, identity, descriptors, process.

The rest of the gateway takes plain arguments and serves any gRPC service. The command imports
this module for the settings. Functions import the modules that only the gateway's process
needs, because gRPC and the keys would make the command start later.
"""

from __future__ import annotations

import importlib.resources
import ipaddress
import json
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from lockstep_gateway.binding.system import GOOGLES
from lockstep_gateway.http.config import (
    ANSWER_BYTES,
    ApiInfo,
    Certificate,
    GatewayConfig,
    HeadLimits,
    Limits,
    ServerConfig,
)
from lockstep_gateway.http.headers import HeaderPolicy
from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator
from pydantic_settings import NoDecode

from services.common.settings import CommonSettings, SettingsError, load

if TYPE_CHECKING:
    from lockstep_clients import ServiceIdentity
    from lockstep_gateway.http.upstream import Metadata, Proof, Upstream
    from protobuf import Registry

NAME: Final = "gateway"
DESCRIPTORS: Final = ("lockstep_clients", "lockstep.binpb")
RESERVED_HEADERS: Final = ("x-lockstep-",)
SERVICE_IDENTITY: Final = "x-lockstep-service"
CLIENT_IP: Final = "x-lockstep-client-address"

OWN_INFO: Final = ApiInfo(
    title="Lockstep",
    description="Accounts, profiles, wallets, products, carts and orders, over HTTP and JSON.",
    contact="Lockstep",
    license="Apache-2.0",
)


def _several(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if value.startswith("["):
        return json.loads(value)
    return tuple(each.strip() for each in value.split(",") if each.strip())


def _folder(path: Path | None) -> Path | None:
    if path is not None and not path.is_dir():
        raise ValueError("must be a folder")
    return path


def _passable(names: tuple[str, ...]) -> tuple[str, ...]:
    HeaderPolicy(names, reserved=RESERVED_HEADERS)  # refuses names that must not pass
    return names


def _networks(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        try:
            ipaddress.ip_network(name)
        except ValueError:
            raise ValueError(f"must be networks such as 10.0.0.0/8, not {name}") from None
    return names


Several = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_several)]


class GatewaySettings(CommonSettings):
    """The gateway's settings beside the common ones."""

    gateway_static: Annotated[Path | None, AfterValidator(_folder)] = Field(
        default=None, description="folder of a browser client, served at /"
    )
    gateway_origins: Several = Field(
        default=(),
        description="origins whose browsers may call (CORS), separated by commas, or *",
    )
    gateway_headers: Annotated[Several, AfterValidator(_passable)] = Field(
        default=(),
        description="further request headers that services get; grpc-metadata-x arrives as x",
    )
    gateway_trusted_proxies: Annotated[Several, AfterValidator(_networks)] = Field(
        default=(), description="networks whose X-Forwarded-For is believed, such as 10.0.0.0/8"
    )
    gateway_ignore_unknown: bool = Field(default=False, description="drop unknown fields of a body")
    gateway_fold_first_letter: bool | None = Field(
        default=None,
        description="let JSON names begin with either case; on unless --descriptors is given",
    )
    gateway_ignored_parameters: Several = Field(
        default=GOOGLES,
        description="query parameters to ignore unless a field has the name, such as key,utm_*",
    )
    gateway_deadline_seconds: float = Field(
        default=10.0, gt=0, le=600, description="longest time of a call, and its default"
    )
    gateway_read_seconds: float = Field(
        default=10.0,
        gt=0,
        le=600,
        description="longest time that headers or a body may take to arrive",
    )
    gateway_idle_seconds: float | None = Field(
        default=None,
        gt=0,
        le=3600,
        description="longest time that a connection may be idle or take to send headers",
    )
    gateway_http2: bool = Field(default=False, description="let clients use HTTP/2, too")
    gateway_tls_cert: Path | None = Field(
        default=None, description="certificate with its chain (PEM), to serve HTTPS"
    )
    gateway_tls_key: Path | None = Field(
        default=None,
        validate_default=True,
        description="key of LOCKSTEP_GATEWAY_TLS_CERT (PEM)",
    )
    gateway_body_bytes: int = Field(
        default=1024 * 1024, ge=1024, le=4 * 1024 * 1024, description="largest request body"
    )
    gateway_answer_bytes: int = Field(
        default=ANSWER_BYTES,
        ge=1024,
        le=256 * 1024 * 1024,
        description="largest answer of a service; a larger one is 500",
    )
    gateway_header_bytes: int = Field(
        default=32 * 1024, ge=1024, le=1024 * 1024, description="most bytes of request headers"
    )
    gateway_url_bytes: int = Field(
        default=16 * 1024, ge=256, le=1024 * 1024, description="longest path with query"
    )
    gateway_requests: int = Field(
        default=1000, ge=1, description="requests in flight; more get 429"
    )
    gateway_api_title: str | None = Field(
        default=None, description="name of the API in /openapi.json; by default from its packages"
    )
    gateway_api_version: str | None = Field(
        default=None, description="version of the API there; by default from its packages"
    )
    gateway_api_description: str | None = Field(default=None, description="text on the API there")
    gateway_api_contact: str | None = Field(
        default=None, description="URL, e-mail address or name of those who answer questions on it"
    )
    gateway_api_license: str | None = Field(
        default=None, description="licence of the API there, such as Apache-2.0"
    )
    gateway_error_domain: str = Field(
        default="lockstep", description="ErrorInfo.domain of the gateway's own errors"
    )

    @property
    def scheme(self) -> str:
        """The scheme of the gateway's URLs."""
        return "https" if self.gateway_tls_cert else "http"

    @field_validator("gateway_tls_key")
    @classmethod
    def _has_certificate(cls, key: Path | None, info: ValidationInfo) -> Path | None:
        if (key is None) != (info.data.get("gateway_tls_cert") is None):
            raise ValueError("must be set together with LOCKSTEP_GATEWAY_TLS_CERT")
        return key


class StartError(ValueError):
    """Say why the gateway cannot start, with one line for each problem."""


def load_settings() -> GatewaySettings:
    """Read the settings from the environment.

    Raises:
        StartError: A setting is wrong.
    """
    try:
        return load(GatewaySettings)
    except SettingsError as error:
        raise StartError(str(error)) from None


def gateway_config(
    settings: GatewaySettings,
    *,
    safe_methods: Iterable[str],
    is_own: bool,
    port: int | None = None,
) -> GatewayConfig:
    """Turn the settings into plain values.

    Args:
        settings: The gateway's settings.
        safe_methods: The gRPC paths of the methods that change nothing.
        is_own: Whether the upstreams are Lockstep's. Only these are known to allow pings.
        port: The port to listen on, instead of the setting.
    """
    from lockstep_clients.channels import channel_options, resolve

    folds = settings.gateway_fold_first_letter
    return GatewayConfig(
        server=_server(settings, port),
        error_domain=settings.gateway_error_domain,
        ignore_unknown=settings.gateway_ignore_unknown,
        fold_first_letter=is_own if folds is None else folds,
        ignored_parameters=settings.gateway_ignored_parameters,
        extra_headers=settings.gateway_headers,
        reserved_headers=RESERVED_HEADERS,
        trusted_proxies=settings.gateway_trusted_proxies,
        origins=settings.gateway_origins,
        static=settings.gateway_static,
        api_info=_api_info(settings, OWN_INFO if is_own else ApiInfo()),
        limits=_limits(settings),
        head_limits=HeadLimits(settings.gateway_url_bytes, settings.gateway_header_bytes),
        channel_options=channel_options(safe_methods, sends_pings=is_own),
        resolve=resolve,
    )


def own_descriptors() -> bytes:
    """Read the descriptors of our own services.

    Raises:
        StartError: They cannot be read.
    """
    package, name = DESCRIPTORS
    with importlib.resources.as_file(importlib.resources.files(package) / name) as path:
        return read_file(path, remedy="run `make protos`, or install lockstep-clients again")


def read_file(path: Path, *, remedy: str) -> bytes:
    """Read a file that must not be empty.

    Raises:
        StartError: It cannot be read.
    """
    from services.common import files

    try:
        return files.read_file(path, remedy=remedy)
    except files.FileProblem as error:
        raise StartError(str(error)) from None


def explained(error: OSError) -> Exception:
    """Say what an error of the system means, if it is about a file."""
    from services.common import files

    return files.explained(error)


def load_descriptors(path: Path) -> Registry:
    """Read the descriptors of foreign services.

    Raises:
        StartError: The file cannot be read.
        DescriptorError: It holds no descriptors.
    """
    from lockstep_gateway.binding import descriptors

    remedy = "make it with protoc --include_imports --descriptor_set_out"
    try:
        return descriptors.load(read_file(path, remedy=remedy))
    except descriptors.DescriptorError as error:
        raise descriptors.DescriptorError(f"{path}: {error}") from None


def own_upstreams(settings: GatewaySettings, services: Iterable[str]) -> dict[str, Upstream]:
    """Find the upstreams of our own services among these full names.

    The second part of a full name is the name of the process, and of its settings.

    Raises:
        StartError: The gateway's key cannot be read.
    """
    from lockstep_gateway.http.upstream import Upstream

    found: dict[str, Upstream] = {}
    identity = _identity(settings)
    for service in services:
        area = [*service.split("."), ""][1]
        target = getattr(settings, f"{area}_address", None)
        if target is not None:
            found[service] = Upstream(area, target, proof_by(partial(identity.token, area)))
    return found


def proof_by(token: Callable[[], str]) -> Proof:
    """Return the proof that consists of a token and the client's IP."""

    def proof(client_ip: str) -> Metadata:
        return [(SERVICE_IDENTITY, token()), (CLIENT_IP, client_ip)]

    return proof


def start_logging(settings: GatewaySettings) -> None:
    """Configure the logs by the settings."""
    from services.kernel.logging import configure

    configure(service=NAME, level=settings.log_level, form=settings.log_format)


async def until_stopped() -> None:
    """Wait for SIGTERM or SIGINT."""
    from services.kernel import signals

    await signals.until_stopped()


def _identity(settings: GatewaySettings) -> ServiceIdentity:
    from lockstep_clients import ServiceIdentity

    from services.common.keys import KeyRing, KeysError

    try:
        return ServiceIdentity(NAME, KeyRing.load(settings.keys, NAME).private_key)
    except KeysError as error:
        raise StartError(str(error)) from None


def _api_info(settings: GatewaySettings, default: ApiInfo) -> ApiInfo:
    return ApiInfo(
        title=settings.gateway_api_title or default.title,
        version=settings.gateway_api_version or default.version,
        description=settings.gateway_api_description or default.description,
        contact=settings.gateway_api_contact or default.contact,
        license=settings.gateway_api_license or default.license,
    )


def _limits(settings: GatewaySettings) -> Limits:
    return Limits(
        requests=settings.gateway_requests,
        body_bytes=settings.gateway_body_bytes,
        call_seconds=settings.gateway_deadline_seconds,
        body_seconds=settings.gateway_read_seconds,
        answer_bytes=settings.gateway_answer_bytes,
    )


def _server(settings: GatewaySettings, port: int | None) -> ServerConfig:
    chain, key = settings.gateway_tls_cert, settings.gateway_tls_key
    return ServerConfig(
        listen_on=(settings.host, settings.gateway_port if port is None else port),
        idle_seconds=settings.gateway_idle_seconds or settings.gateway_read_seconds,
        stop_delay_seconds=settings.stop_delay_seconds,
        stop_grace_seconds=settings.stop_grace_seconds,
        has_http2=settings.gateway_http2,
        certificate=Certificate(chain, key) if chain and key else None,
        another_signal=until_stopped,
    )
