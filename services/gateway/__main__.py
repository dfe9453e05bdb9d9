"""The gateway's process: arguments and settings in, a served API out.

python -m services.gateway
python -m services.gateway --descriptors api.binpb --upstream acme.v1.Library=127.0.0.1:9000
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import AsyncIterator, Mapping
from typing import Final

import structlog
import uvloop
from lockstep_gateway import build
from lockstep_gateway.binding import descriptors
from lockstep_gateway.binding.descriptors import DescriptorError
from lockstep_gateway.http.metering import NO_METER
from lockstep_gateway.http.switch import Switch
from lockstep_gateway.http.upstream import Upstream, UpstreamError, foreign_upstreams
from lockstep_gateway.openapi.docs import api_pages
from protobuf import Registry

from services.gateway import lockstep
from services.gateway.arguments import read_arguments
from services.gateway.lockstep import GatewaySettings, StartError
from services.gateway.management import Management, managed

REFUSALS: Final = (StartError, DescriptorError, UpstreamError)

log = structlog.get_logger("gateway")


@contextlib.asynccontextmanager
async def running(
    settings: GatewaySettings,
    registry: Registry,
    upstreams: Mapping[str, Upstream],
    *,
    port: int | None = None,
    is_own: bool = False,
    strict: bool = False,
    management: Management | None = None,
) -> AsyncIterator[int]:
    """Run a gateway until the context ends, then stop it in order; give its port.

    Args:
        settings: The gateway's settings.
        registry: The descriptors of the services.
        upstreams: The upstream of each service, by its full name.
        port: The port to listen on, instead of the setting.
        is_own: Whether the services are Lockstep's. Their start is strict.
        strict: Whether a rule that cannot be served is an error, not left out.
        management: Measures the gateway, and tells whether it is ready.

    Raises:
        DescriptorError: The descriptors cannot be served.
        OSError: The port is taken or not allowed.
        ValueError: A setting is invalid.
    """
    api = build.find_api(
        registry, upstreams, strict=strict or is_own, method_option=lockstep.METHOD_OPTION
    )
    config = lockstep.gateway_config(settings, is_own=is_own)
    pages = api_pages(
        registry, api.rpcs, info=config.api_info, ignore_unknown=config.ignore_unknown
    )
    meter, spans = (management.meter, management.spans) if management else (NO_METER, None)
    gateway = build.application(api, pages, config, meter=meter, spans=spans)
    if management is not None:
        management.watch(gateway.health)
    server = lockstep.server_config(settings, port)
    async with build.serving(Switch(gateway), server, config.head_limits) as listening_on:
        yield listening_on


async def serve(arguments: argparse.Namespace) -> None:
    """Serve until SIGTERM or SIGINT."""
    settings = lockstep.load_settings()
    lockstep.start_logging(settings)
    is_foreign = arguments.descriptors is not None
    tls = None if is_foreign else lockstep.own_tls(settings)
    if is_foreign:
        registry = lockstep.load_descriptors(arguments.descriptors)
        upstreams = foreign_upstreams(arguments.upstream, ca=arguments.upstream_tls)
    else:
        registry = descriptors.load(lockstep.own_descriptors())
        names = [each.type_name for each in descriptors.services(registry)]
        upstreams = lockstep.own_upstreams(settings, names, tls)
    async with (
        managed(settings, tls) as management,
        running(
            settings,
            registry,
            upstreams,
            port=arguments.port,
            is_own=not is_foreign,
            strict=arguments.strict,
            management=management,
        ) as port,
    ):
        log.info("listening", host=settings.host, port=port)
        await lockstep.until_stopped()
        log.info("stopping")


def main() -> None:
    """Run the process; refuse a start in a line for each reason."""
    try:
        uvloop.run(serve(read_arguments()))
    except OSError as error:
        sys.exit(f"{lockstep.NAME}: {lockstep.explained(error)}")
    except REFUSALS as error:
        sys.exit(f"{lockstep.NAME}: {error}")


if __name__ == "__main__":
    main()
