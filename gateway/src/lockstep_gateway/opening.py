"""Open a gateway that keeps itself up to date, for a server of its own or to be mounted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import structlog
from lockstep_gateway import build
from lockstep_gateway.discovery.sources import (
    FileSource,
    Found,
    ReflectionSource,
    Source,
    read_places,
)
from lockstep_gateway.discovery.updating import Updater
from lockstep_gateway.http.app import Gateway
from lockstep_gateway.http.metering import NO_METER
from lockstep_gateway.http.spans import RequestSpans
from lockstep_gateway.http.switch import Switch
from lockstep_gateway.openapi.docs import api_pages
from lockstep_gateway.settings import GatewayFields, gateway_config
from opentelemetry.metrics import Meter

log = structlog.get_logger("gateway")


@asynccontextmanager
async def open_gateway(
    *upstreams: str,
    descriptors: Path | None = None,
    upstream_tls: str | None = None,
    strict: bool = False,
    method_option: str = "",
    settings: GatewayFields | None = None,
    meter: Meter = NO_METER,
    spans: RequestSpans | None = None,
) -> AsyncIterator[Switch]:
    """Give a gateway as an ASGI application, which any other can mount while the context lasts.

    Args:
        upstreams: `host:port` of each upstream, or `full.Service=host:port`.
        descriptors: A FileDescriptorSet with imports, instead of server reflection.
        upstream_tls: A file of certificates to trust, or `system`; None for plaintext.
        strict: Whether a method that cannot be served is an error, not left out.
        method_option: The full name of the option that holds the rule of a method.
        settings: Further settings.
        meter: Creates the metrics.
        spans: Makes the spans of requests; None: there are none.

    Raises:
        DescriptorError: The descriptors cannot be served.
        UpstreamError: An upstream is malformed.
        OSError: A file cannot be read.
    """
    source = _source(upstreams, descriptors, upstream_tls)
    chosen = settings or GatewayFields()
    make = partial(_build, chosen, meter, spans, strict=strict, method_option=method_option)
    updater = Updater(source, make)
    switch = await updater.first()
    updating = asyncio.create_task(updater.run(switch), name="updating")
    try:
        yield switch
    finally:
        updating.cancel()
        await asyncio.wait([updating])
        await switch.close()


def _source(upstreams: Sequence[str], descriptors: Path | None, ca: str | None) -> Source:
    places = read_places(upstreams, ca=ca)
    return ReflectionSource(places) if descriptors is None else FileSource(descriptors, places)


def _build(
    settings: GatewayFields,
    meter: Meter,
    spans: RequestSpans | None,
    found: Found,
    *,
    strict: bool,
    method_option: str,
) -> Gateway:
    config = gateway_config(settings)
    api = build.find_api(
        found.registry, found.upstreams, strict=strict, method_option=method_option
    )
    if found.upstreams and not api.served:
        log.warning("nothing to serve", reason="no method has a google.api.http rule")
    pages = api_pages(
        found.registry, api.rpcs, info=config.api_info, ignore_unknown=config.ignore_unknown
    )
    return build.application(api, pages, config, meter=meter, spans=spans, waiting=found.waiting)
