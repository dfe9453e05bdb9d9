"""The gateway's process: the only place where its parts are put together.

python -m services.gateway
python -m services.gateway --descriptors api.binpb --upstream acme.v1.Library=127.0.0.1:9000
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.resources
import json
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Final

import grpc
import structlog
import uvloop
from lockstep_clients import ServiceIdentity
from protobuf import DescService, Registry

from services.common.keys import KeyRing, KeysError
from services.common.settings import SettingsError, load
from services.gateway.binding import descriptors
from services.gateway.binding.descriptors import DescriptorError
from services.gateway.binding.shapes import Shapes
from services.gateway.build import Api, Parts, build_api
from services.gateway.http.app import Gateway, Limits
from services.gateway.http.connection import ConnectionLimits, connection_class
from services.gateway.http.cors import Cors
from services.gateway.http.errors import Failures
from services.gateway.http.headers import HeaderPolicy
from services.gateway.http.pages import FixedPage, Health, Page
from services.gateway.http.server import listen, serving
from services.gateway.http.static import StaticSite
from services.gateway.http.upstream import Channels, Identity, Upstream
from services.gateway.lockstep import GatewaySettings
from services.gateway.openapi.docs import docs_pages
from services.gateway.openapi.document import document
from services.kernel.logging import configure
from services.kernel.signals import until_stopped

NAME: Final = "gateway"
log = structlog.get_logger("lockstep.gateway")
OWN_DESCRIPTORS: Final = ("lockstep_clients", "lockstep.binpb")


class UsageError(ValueError):
    """Say in one line what is wrong with the arguments."""


@contextlib.asynccontextmanager
async def running(
    settings: GatewaySettings,
    registry: Registry,
    upstreams: Mapping[str, Upstream],
    *,
    port: int | None = None,
    fold_first_letter: bool = False,
) -> AsyncIterator[int]:
    """Run a gateway until the context ends, then stop it in order; give the port.

    Args:
        settings: What it is told.
        registry: The descriptors of what it serves.
        upstreams: Where each service is, by its full name.
        port: Where to listen, instead of where the settings say.
        fold_first_letter: What the setting of that name is when it is not set.

    Raises:
        DescriptorError: The descriptors can't be served.
        OSError: The port can't be had.
        ValueError: A setting is invalid.
    """
    channels = Channels()
    failures = Failures(settings.gateway_error_domain, registry)
    folds = settings.gateway_fold_first_letter
    shapes = Shapes(
        registry,
        ignore_unknown=settings.gateway_ignore_unknown,
        fold_first_letter=fold_first_letter if folds is None else folds,
    )
    health = Health(channels, failures)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(channels.close)
        api = build_api(registry, upstreams, Parts(channels, shapes, failures))
        gateway = Gateway(
            api.router,
            failures=failures,
            headers=HeaderPolicy(settings.gateway_headers, settings.gateway_trusted_proxies),
            limits=Limits(
                requests=settings.gateway_requests,
                body_bytes=settings.gateway_body_bytes,
                call_seconds=settings.gateway_deadline_seconds,
                body_seconds=settings.gateway_read_seconds,
            ),
            pages=_pages(registry, api, health, ignore_unknown=settings.gateway_ignore_unknown),
            cors=Cors(settings.gateway_origins),
            site=StaticSite(settings.gateway_static) if settings.gateway_static else None,
        )
        limits = ConnectionLimits(
            url_bytes=settings.gateway_url_bytes,
            header_bytes=settings.gateway_header_bytes,
            head_seconds=settings.gateway_read_seconds,
        )
        sock = listen(settings.host, settings.gateway_port if port is None else port)
        stack.callback(sock.close)
        await stack.enter_async_context(
            serving(
                gateway,
                sock,
                connection=connection_class(limits, failures),
                health=health,
                grace_seconds=settings.stop_grace_seconds,
            )
        )
        yield sock.getsockname()[1]


def own_upstreams(settings: GatewaySettings, registry: Registry) -> dict[str, Upstream]:
    """Find our own services: the second part of a package's name is whose address it has."""
    found: dict[str, Upstream] = {}
    identity = _identity(settings)
    for service in descriptors.services(registry):
        area = _area(service)
        target = getattr(settings, f"{area}_address", None)
        if target is not None:
            token = None if identity is None else _token_for(identity, area)
            found[service.type_name] = Upstream(area, target, token)
    return found


def foreign_upstreams(given: list[str], tls: grpc.ChannelCredentials | None) -> dict[str, Upstream]:
    """Read `full.Service=host:port` arguments.

    Raises:
        UsageError: One is malformed.
    """
    found: dict[str, Upstream] = {}
    for each in given:
        name, separator, target = each.partition("=")
        if not (name and separator and target):
            raise UsageError(f"--upstream {each}: expected full.Service=host:port")
        found[name] = Upstream(name, target, tls=tls)
    return found


def _pages(
    registry: Registry, api: Api, health: Health, *, ignore_unknown: bool
) -> dict[str, Page]:
    packages = sorted({rpc.desc.parent.type_name.partition(".")[0] for rpc in api.rpcs})
    title = " and ".join(each.capitalize() for each in packages) or "Empty"
    described = document(registry, api.rpcs, title=title, ignore_unknown=ignore_unknown)
    openapi = FixedPage(json.dumps(described, ensure_ascii=False).encode(), "application/json")
    return {
        "/healthz": health.alive,
        "/readyz": health.ready,
        "/openapi.json": openapi,
        **docs_pages(),
    }


def _area(service: DescService) -> str:
    return [*service.type_name.split("."), ""][1]


def _identity(settings: GatewaySettings) -> ServiceIdentity | None:
    if not settings.keys.exists():
        return None
    return ServiceIdentity(NAME, KeyRing.load(settings.keys, NAME).private_key)


def _token_for(identity: ServiceIdentity, audience: str) -> Identity:
    return lambda: identity.token(audience)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m services.gateway",
        description="Serve gRPC services as HTTP and JSON. Without arguments: Lockstep's own.",
    )
    parser.add_argument(
        "--descriptors", type=Path, metavar="FILE", help="a FileDescriptorSet with imports"
    )
    parser.add_argument(
        "--upstream",
        action="append",
        default=[],
        metavar="SERVICE=ADDRESS",
        help="where a service of --descriptors is, such as acme.v1.Library=127.0.0.1:9000",
    )
    parser.add_argument(
        "--upstream-tls",
        metavar="CA",
        help="reach the upstreams over TLS: a file of certificates to trust, or `system`",
    )
    parser.add_argument("--port", type=int, help="listen here instead of LOCKSTEP_GATEWAY_PORT")
    arguments = parser.parse_args()
    if bool(arguments.descriptors) != bool(arguments.upstream):
        parser.error("--descriptors and --upstream belong together")
    if arguments.upstream_tls and not arguments.upstream:
        parser.error("--upstream-tls needs --upstream")
    return arguments


def _tls(ca: str | None) -> grpc.ChannelCredentials | None:
    if ca is None:
        return None
    roots = None if ca == "system" else Path(ca).read_bytes()
    return grpc.ssl_channel_credentials(root_certificates=roots)


async def serve(arguments: argparse.Namespace) -> None:
    """Run until SIGTERM or SIGINT."""
    settings = load(GatewaySettings)
    configure(service=NAME, level=settings.log_level, form=settings.log_format)
    is_foreign = arguments.descriptors is not None
    if is_foreign:
        registry = descriptors.load(arguments.descriptors.read_bytes())
        upstreams = foreign_upstreams(arguments.upstream, _tls(arguments.upstream_tls))
    else:
        package, name = OWN_DESCRIPTORS
        registry = descriptors.load((importlib.resources.files(package) / name).read_bytes())
        upstreams = own_upstreams(settings, registry)
    async with running(
        settings, registry, upstreams, port=arguments.port, fold_first_letter=not is_foreign
    ) as port:
        log.info("listening", host=settings.host, port=port)
        await until_stopped()
        log.info("stopping")


def main() -> None:
    """Run the process."""
    try:
        uvloop.run(serve(_arguments()))
    except (SettingsError, KeysError, DescriptorError, UsageError, OSError) as error:
        sys.exit(f"gateway: {error}")


if __name__ == "__main__":
    main()
