"""The gateway's metrics and its management port."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2
from grpc_health.v1._async import HealthServicer
from lockstep_gateway.binding import descriptors
from lockstep_gateway.http.upstream import Upstream
from prometheus_client.parser import text_string_to_metric_families

from services.gateway.__main__ import running
from services.gateway.lockstep import GatewaySettings
from services.gateway.management import managed
from tests.gateway.http import Client
from tests.gateway.test_streams import SERVICE as FEATURES
from tests.gateway.test_streams import WATCH, books, failing
from tests.gateway.world import PROTOS, SERVICE, Upstreams, compile_protos, echoing
from tests.ports import free_port
from tests.telemetry.test_management import ask
from tests.waiting import until_found

Labels = dict[str, str]


@contextlib.asynccontextmanager
async def gateway(
    tmp_path: Path,
    upstreams: Upstreams,
    *,
    service: str = SERVICE,
    file: str = "library.proto",
    **more: Any,
) -> AsyncIterator[tuple[Client, int]]:
    """Run a gateway with a management port; give its client and that port."""
    names = [str(each.relative_to(PROTOS)) for each in PROTOS.rglob(file)]
    registry = descriptors.load(compile_protos(PROTOS, tmp_path / "set", *names))
    port = free_port()
    settings = GatewaySettings(stop_grace_seconds=1, gateway_metrics_port=port, **more)
    places = {service: Upstream("library", f"127.0.0.1:{upstreams.port}")}
    async with (
        managed(settings) as management,
        running(settings, registry, places, port=0, management=management) as http,
    ):
        yield Client(http), port


async def counts(port: int) -> list[Labels]:
    """Return the labels of each kind of request that was counted."""
    name = "http_server_request_duration_seconds_count"
    return [labels for labels, _ in await samples(port, name)]


async def samples(port: int, name: str) -> list[tuple[Labels, float]]:
    """Return the labels and the values of a metric."""
    _, text = await asyncio.to_thread(ask, port, "/metrics")
    return [
        (dict(sample.labels), sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    ]


async def test_requests_are_measured_by_route_method_and_status(tmp_path: Path) -> None:
    async with echoing() as upstreams, gateway(tmp_path, upstreams) as (client, port):
        for path in ("/v1/books/2", "/v1/books/3", "/nowhere/5", "/nowhere/6"):
            await client.get(path)
        await client.get("/healthz")
        await client.send("BREW", "/nowhere")
        found = await counts(port)
    assert all("/5" not in str(each) and "books/2" not in str(each) for each in found)
    routes = {(each["http_request_method"], each.get("http_route", "")) for each in found}
    assert ("GET", "/healthz") in routes
    assert ("GET", "") in routes
    assert ("_OTHER", "") in routes
    assert len(found) == len(routes) == 4


async def test_failures_of_a_service_have_an_error_type(tmp_path: Path) -> None:
    nobody = Upstreams(port=1)
    async with gateway(tmp_path, nobody) as (client, port):
        await client.get("/v1/books/2")
        [labels] = await counts(port)
    assert (labels["http_response_status_code"], labels["error_type"]) == ("503", "503")


async def test_streams_are_counted_with_their_messages_and_failures(tmp_path: Path) -> None:
    async with (
        echoing() as upstreams,
        gateway(tmp_path, upstreams, service=FEATURES, file="features.proto") as (client, port),
    ):
        with upstreams.streaming(books("a", "b")):
            await client.get(WATCH)
        with upstreams.streaming(failing(1, grpc.StatusCode.NOT_FOUND, "No more books.")):
            await client.get(WATCH)
        requests = await until_found(
            lambda: counts(port), lambda found: len(found) >= 2, seconds=10
        )
        [(labels, messages)] = await samples(port, "gateway_stream_messages_total")
        [(_, streams)] = await samples(port, "gateway_streams")
    assert [each["error_type"] for each in requests] == ["", "NOT_FOUND"]
    assert (labels["http_route"], messages, streams) == (WATCH, 3, 0)


async def test_readiness_follows_the_services(tmp_path: Path) -> None:
    health = HealthServicer()
    serving = health_pb2.HealthCheckResponse
    await health.set("", serving.SERVING)
    async with echoing(health) as upstreams, gateway(tmp_path, upstreams) as (_, port):
        assert await asyncio.to_thread(ask, port, "/readyz") == (200, "ok\n")
        await health.set("", serving.NOT_SERVING)
        status, text = await until_found(  # the gateway is told over its connection
            lambda: asyncio.to_thread(ask, port, "/readyz"),
            lambda told: told[0] != 200,
            seconds=10,
        )
        assert (status, text.partition(" is ")[0]) == (503, "Not ready: library")
        assert await asyncio.to_thread(ask, port, "/livez") == (200, "ok\n")


async def test_a_gateway_that_does_not_serve_yet_is_starting() -> None:
    port = free_port()
    async with managed(GatewaySettings(gateway_metrics_port=port)):
        assert await asyncio.to_thread(ask, port, "/readyz") == (503, "starting\n")


async def test_without_a_port_there_is_no_management_port() -> None:
    async with managed(GatewaySettings(gateway_metrics_port=0)) as management:
        assert management.meter is not None
