"""The composition of a gateway, from descriptors and upstreams to a server that runs."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import structlog
from lockstep_gateway.binding import descriptors
from lockstep_gateway.binding.binding import RequestBinder
from lockstep_gateway.binding.descriptors import Binding, DescriptorError, Refusals, Rpc
from lockstep_gateway.binding.protojson import MessageForms
from lockstep_gateway.binding.routes import DuplicateRouteError, Router
from lockstep_gateway.binding.system import SystemParameters
from lockstep_gateway.http.app import Gateway
from lockstep_gateway.http.channels import channel_options
from lockstep_gateway.http.conditions import EtagForms
from lockstep_gateway.http.config import ANSWER_BYTES, GatewayConfig, HeadLimits, ServerConfig
from lockstep_gateway.http.connect import ConnectTranscoder, connect_rpc
from lockstep_gateway.http.cors import Cors
from lockstep_gateway.http.door import Door
from lockstep_gateway.http.errors import Failures
from lockstep_gateway.http.headers import REQUEST_ID, HeaderPolicy, OutboundHeaders
from lockstep_gateway.http.metering import NO_METER, RequestMeter
from lockstep_gateway.http.pages import Health, Page
from lockstep_gateway.http.server import HttpServer, listen, server_running
from lockstep_gateway.http.spans import RequestSpans
from lockstep_gateway.http.static import StaticSite
from lockstep_gateway.http.switch import Switch
from lockstep_gateway.http.transcoder import Transcoder
from lockstep_gateway.http.upstream import Channels, Upstream
from opentelemetry.metrics import Meter
from protobuf import DescService, Registry

log = structlog.get_logger("gateway")


@dataclass(frozen=True, slots=True)
class Api:
    """The RPCs that are served, each with its upstream."""

    registry: Registry
    served: tuple[tuple[Rpc, Upstream], ...]

    @property
    def rpcs(self) -> tuple[Rpc, ...]:
        """The RPCs without their upstreams."""
        return tuple(rpc for rpc, _ in self.served)


@dataclass(frozen=True, slots=True)
class Shared:
    """The parts that all transcoders share."""

    channels: Channels
    forms: MessageForms
    failures: Failures
    answer_bytes: int = ANSWER_BYTES
    has_connect: bool = True
    etags: EtagForms = field(default_factory=EtagForms)
    outbound: OutboundHeaders = field(default_factory=OutboundHeaders)


def find_api(
    registry: Registry,
    upstreams: Mapping[str, Upstream],
    *,
    strict: bool = True,
    method_option: str = "",
) -> Api:
    """Find the RPCs of every service that has an upstream; the others are not served.

    Args:
        registry: The descriptors.
        upstreams: The upstream of each service, by its full name.
        strict: Whether a rule that cannot be served is an error. Otherwise it is left out, with
            a warning for each method.
        method_option: The full name of the option that holds the rule of a method.

    Raises:
        DescriptorError: A rule cannot be served, or a service is unknown.
    """
    found = _Found(registry, method_option)
    services = {each.type_name: each for each in descriptors.services(registry)}
    unknown = upstreams.keys() - services.keys()
    if unknown:
        raise DescriptorError(f"the descriptors have no service {', '.join(sorted(unknown))}")
    for name, service in services.items():
        if name in upstreams:
            found.add(service, upstreams[name])
    if strict:
        found.refusals.raise_any()
    for rpc, reason in found.refusals.by_rpc().items():
        log.warning("left out", rpc=rpc, reason=reason)
    return Api(registry, tuple(found.served))


def build_router(api: Api, shared: Shared) -> Router[Transcoder]:
    """Build the routes of an API. A rule that has the path of the Connect protocol keeps it."""
    router: Router[Transcoder] = Router()
    for rpc, upstream in api.served:
        _add_routes(router, rpc, upstream, shared, Transcoder)
    for rpc, upstream in api.served if shared.has_connect else ():
        if called := connect_rpc(rpc):
            with contextlib.suppress(DuplicateRouteError):
                _add_routes(router, called, upstream, shared, ConnectTranscoder)
    return router


def _add_routes(
    router: Router[Transcoder],
    rpc: Rpc,
    upstream: Upstream,
    shared: Shared,
    kind: type[Transcoder],
) -> None:
    method = shared.channels.method(upstream, rpc.path)
    for binding in rpc.bindings:
        transcoder = kind(
            rpc,
            binding,
            forms=shared.forms,
            failures=shared.failures,
            upstream=upstream,
            method=method,
            answer_bytes=shared.answer_bytes,
            etags=shared.etags,
            outbound=shared.outbound,
        )
        router.add(binding.method, binding.template, transcoder)


class _Found:
    """The RPCs that can be served, and the refusals of the rest."""

    def __init__(self, registry: Registry, method_option: str) -> None:
        self.served: list[tuple[Rpc, Upstream]] = []
        self.refusals = Refusals()
        self._registry = registry
        self._method_option = method_option
        self._forms = MessageForms(registry)
        self._taken: Router[Rpc] = Router()

    def add(self, service: DescService, upstream: Upstream) -> None:
        read = descriptors.rpcs(self._registry, service, self.refusals, self._method_option)
        for rpc in read:
            bindings = tuple(each for each in rpc.bindings if self._can_serve(rpc, each))
            if bindings:
                self.served.append((replace(rpc, bindings=bindings), upstream))

    def _can_serve(self, rpc: Rpc, binding: Binding) -> bool:
        try:
            RequestBinder(rpc.desc.input, binding, self._forms)
            self._taken.add(binding.method, binding.template, rpc)
        except DuplicateRouteError as error:
            taken = f"{binding.method} {binding.path} is a path of {error.other.name} already"
            self.refusals.refuse(rpc.name, taken)
        except ValueError as error:
            self.refusals.refuse(rpc.name, str(error))
        else:
            return True
        return False


def application(
    api: Api,
    pages: Mapping[str, Page],
    config: GatewayConfig,
    *,
    meter: Meter = NO_METER,
    spans: RequestSpans | None = None,
    waiting: Mapping[str, str] = MappingProxyType({}),
) -> Gateway:
    """Build a gateway as an ASGI application, which any other can mount.

    It opens its channels with the lifespan, or else with the first request.

    Args:
        api: The API to serve.
        pages: The gateway's own pages by path, without those of its health.
        config: The configuration.
        meter: Creates the metrics.
        spans: Makes the spans of requests; None: there are none.
        waiting: The reasons why services are not served yet, by the name of their upstream.

    Raises:
        UpstreamError: The target of an upstream is malformed.
    """
    shared = _shared(api, config)
    health = Health(shared.channels, shared.failures, waiting)
    headers = HeaderPolicy(
        config.extra_headers, config.trusted_proxies, reserved=config.reserved_headers
    )
    return Gateway(
        router=build_router(api, shared),
        channels=shared.channels,
        failures=shared.failures,
        door=Door(config.head_limits, shared.failures),
        headers=headers,
        limits=config.limits,
        health=health,
        pages={**health.pages, **pages},
        cors=Cors(
            config.origins, allowed=headers.read, exposed=(*shared.outbound.names, REQUEST_ID)
        ),
        site=StaticSite(config.static, config.image_hosts) if config.static else None,
        meter=RequestMeter(meter),
        spans=spans,
    )


def _shared(api: Api, config: GatewayConfig) -> Shared:
    return Shared(
        _channels(api, config),
        MessageForms(
            api.registry,
            ignore_unknown=config.ignore_unknown,
            fold_first_letter=config.fold_first_letter,
            system_parameters=SystemParameters(config.ignored_parameters),
        ),
        Failures(config.error_domain, api.registry),
        config.limits.answer_bytes,
        has_connect=config.has_connect,
        outbound=OutboundHeaders(config.headers_out),
    )


def _channels(api: Api, config: GatewayConfig) -> Channels:
    safe_methods = [rpc.path for rpc in api.rpcs if rpc.is_safe]
    answer_bytes = config.limits.answer_bytes
    return Channels(
        channel_options(safe_methods, sends_pings=config.sends_pings, answer_bytes=answer_bytes)
    )


@contextlib.asynccontextmanager
async def serving(
    switch: Switch, server: ServerConfig, head_limits: HeadLimits
) -> AsyncIterator[int]:
    """Serve a gateway until the context ends, then stop it in order; give its port.

    Args:
        switch: The gateway, which may change.
        server: The configuration of the HTTP server.
        head_limits: The limits of the heads of requests.

    Raises:
        OSError: The port is taken or not allowed.
    """
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(switch.close)
        switch.current.channels.open()
        sock = stack.enter_context(listen(*server.listen_on))
        port: int = sock.getsockname()[1]
        http_server = HttpServer(switch, sock, server, head_limits)
        await stack.enter_async_context(server_running(http_server))
        yield port
