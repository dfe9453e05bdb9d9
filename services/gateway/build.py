"""Puts the parts of a gateway together, from descriptors and the places of services."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from protobuf import Registry

from services.gateway.binding import descriptors
from services.gateway.binding.descriptors import Binding, DescriptorError, Rpc
from services.gateway.binding.routes import DuplicateRouteError, Router
from services.gateway.binding.shapes import Shapes
from services.gateway.http.errors import Failures
from services.gateway.http.transcoder import Transcoder
from services.gateway.http.upstream import Channels, Upstream


@dataclass(frozen=True, slots=True)
class Parts:
    """What the transcoders share."""

    channels: Channels
    shapes: Shapes
    failures: Failures


@dataclass(frozen=True, slots=True)
class Api:
    """What is served: the RPCs and their routes."""

    rpcs: tuple[Rpc, ...]
    router: Router[Transcoder]


def build_api(registry: Registry, upstreams: Mapping[str, Upstream], parts: Parts) -> Api:
    """Build the routes of every service that has an upstream; the others are not served.

    Args:
        registry: The descriptors.
        upstreams: Where each service is, by its full name.
        parts: What the transcoders share.

    Raises:
        DescriptorError: A rule can't be served; it names the RPC.
    """
    router: Router[Transcoder] = Router()
    served = tuple(_served(registry, upstreams))
    for rpc, upstream in served:
        for binding in rpc.bindings:
            _add(router, rpc, binding, upstream, parts)
    return Api(tuple(rpc for rpc, _ in served), router)


def _served(
    registry: Registry, upstreams: Mapping[str, Upstream]
) -> Iterator[tuple[Rpc, Upstream]]:
    services = {each.type_name: each for each in descriptors.services(registry)}
    unknown = upstreams.keys() - services.keys()
    if unknown:
        raise DescriptorError(f"the descriptors have no service {', '.join(sorted(unknown))}")
    for name, service in services.items():
        if name in upstreams:
            for rpc in descriptors.rpcs(registry, service):
                yield rpc, upstreams[name]


def _add(
    router: Router[Transcoder], rpc: Rpc, binding: Binding, upstream: Upstream, parts: Parts
) -> None:
    try:
        transcoder = Transcoder(
            rpc,
            binding,
            shapes=parts.shapes,
            failures=parts.failures,
            upstream=upstream,
            invoke=parts.channels.invoker(upstream, rpc.path),
        )
        router.add(binding.method, binding.template, transcoder)
    except DuplicateRouteError as error:
        taken = f"{binding.method} {binding.path} is a path of {error.other.name} already"
        raise DescriptorError(f"{rpc.name}: {taken}") from None
    except ValueError as error:
        raise DescriptorError(f"{rpc.name}: {error}") from None
