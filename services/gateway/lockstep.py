"""The gateway's adapter to Lockstep: settings, identity, descriptors, process.

The rest of the gateway takes plain arguments and serves any gRPC service. The command imports
this module for the settings. Functions import the modules that only the gateway's process
needs, because gRPC and the keys would make the command start later.
"""

from __future__ import annotations

import importlib.resources
from collections.abc import Callable, Iterable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

import lockstep_gateway.settings
from lockstep_gateway.http.config import ApiInfo, GatewayConfig, ServerConfig
from lockstep_gateway.settings import GatewayFields
from pydantic import Field

from services.common.settings import CommonSettings, SettingsError, load

if TYPE_CHECKING:
    from lockstep_clients import ServiceIdentity
    from lockstep_gateway.http.upstream import Metadata, OpenChannel, Proof, Upstream
    from protobuf import Registry

    from services.common.tls import Tls

NAME: Final = "gateway"
DESCRIPTORS: Final = ("lockstep_clients", "lockstep.binpb")
METHOD_OPTION: Final = "lockstep.options.v1.method"
RESERVED_HEADERS: Final = ("x-lockstep-",)
SERVICE_IDENTITY: Final = "x-lockstep-service"
CLIENT_IP: Final = "x-lockstep-client-address"

OWN_INFO: Final = ApiInfo(
    title="Lockstep",
    version=version("lockstep"),
    description=(
        "Accounts, profiles, wallets, products, carts and orders, over HTTP and JSON.\n\nTo get a"
        " token, call `POST /v1/auth/login`. Send its `token` as `Authorization: Bearer <token>`."
    ),
    contact="Lockstep",
    license="Apache-2.0",
)


class GatewaySettings(CommonSettings, GatewayFields):
    """The gateway's settings beside the common ones."""

    RESERVED_HEADERS: ClassVar[tuple[str, ...]] = RESERVED_HEADERS

    gateway_fold_first_letter: bool | None = Field(
        default=None,
        description="let JSON names begin with either case; on unless --descriptors is given",
    )
    gateway_error_domain: str = Field(
        default="lockstep", description="ErrorInfo.domain of the gateway's own errors"
    )


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


def gateway_config(settings: GatewaySettings, *, is_own: bool) -> GatewayConfig:
    """Turn the settings into plain values.

    Args:
        settings: The gateway's settings.
        is_own: Whether the upstreams are Lockstep's. Only these are known to allow pings.
    """
    return lockstep_gateway.settings.gateway_config(
        settings,
        sends_pings=is_own,
        folds_first_letter=is_own,
        api_info=OWN_INFO if is_own else ApiInfo(),
    )


def server_config(settings: GatewaySettings, port: int | None = None) -> ServerConfig:
    """Turn the settings of the HTTP server into plain values.

    Args:
        settings: The gateway's settings.
        port: The port to listen on, instead of the setting.
    """
    return lockstep_gateway.settings.server_config(
        settings,
        listen_on=(settings.host, settings.gateway_port if port is None else port),
        stop_delay_seconds=settings.stop_delay_seconds,
        stop_grace_seconds=settings.stop_grace_seconds,
        another_signal=until_stopped,
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


def own_tls(settings: GatewaySettings) -> Tls | None:
    """Read the credentials with which the gateway calls our own services; None: TLS is off.

    Raises:
        StartError: They cannot be used.
    """
    from services.common import files, tls

    try:
        return tls.service_tls(settings, NAME)
    except files.FileProblem as error:
        raise StartError(str(error)) from None


def own_upstreams(
    settings: GatewaySettings, services: Iterable[str], tls: Tls | None = None
) -> dict[str, Upstream]:
    """Find the upstreams of our own services among these full names.

    The second part of a full name is the name of the process, and of its settings. The services
    of one process share its upstream, and so one connection.

    Args:
        settings: The gateway's settings.
        services: The full names.
        tls: The credentials of the transport; None: plain text.

    Raises:
        StartError: The gateway's key cannot be read.
    """
    from lockstep_gateway.http.upstream import Upstream

    identity = _identity(settings)
    areas = {service: [*service.split("."), ""][1] for service in services}
    upstreams: dict[str, Upstream] = {}
    for area in set(areas.values()):
        target = getattr(settings, f"{area}_address", None)
        if target is not None:
            proof = proof_by(partial(identity.token, area))
            opening = None if tls is None else _opening(tls, area)
            upstreams[area] = Upstream(area, target, proof, opening=opening)
    return {service: upstreams[area] for service, area in areas.items() if area in upstreams}


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


def _opening(tls: Tls, service: str) -> OpenChannel:
    from lockstep_clients.channels import channel_over_tls

    return lambda target, options: channel_over_tls(target, tls, options, name=service)


def _identity(settings: GatewaySettings) -> ServiceIdentity:
    from lockstep_clients import ServiceIdentity

    from services.common.keys import KeyRing, KeysError

    try:
        return ServiceIdentity(NAME, KeyRing.load(settings.keys, NAME).private_key)
    except KeysError as error:
        raise StartError(str(error)) from None
