"""The spans of the command, in front of a service of its own and with a real collector."""

from __future__ import annotations

import sys
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from lockstep_gateway.command.settings import ConfigError

from tests.gateway import test_command
from tests.gateway.http import Client
from tests.gateway.world import SERVICE, Upstreams
from tests.telemetry.collector import collecting
from tests.telemetry.test_spans import SPAN, TRACE, place

pytestmark = pytest.mark.asyncio(loop_scope="session")

EXPORTER = "opentelemetry.exporter.otlp.proto.grpc.trace_exporter"


def gateway(library: Path, upstream: Upstreams, **more: Any) -> AbstractAsyncContextManager[Client]:
    address = f"{SERVICE}=127.0.0.1:{upstream.port}"
    return test_command.gateway(address, descriptors=library, **more)


async def test_a_request_has_a_span_between_the_client_and_the_service(
    library_file: Path, upstream: Upstreams, monkeypatch: pytest.MonkeyPatch
) -> None:
    with collecting(monkeypatch) as collector:
        async with gateway(library_file, upstream, tracing=True) as client:
            await client.get("/v1/books/dune", **place("01"))
            await client.get("/nowhere", **place("01"))
        await collector.wait_for("GET /v1/books/{name}")
        [span] = collector.spans
    assert (span.service, span.trace, span.parent) == ("lockstep-gateway", TRACE, SPAN)
    assert span.attributes["http.route"].count("/v1/books/{name}") == 1
    assert upstream.metadata["traceparent"] == f"00-{TRACE}-{span.id}-01"
    assert upstream.metadata["tracestate"] == "a=1"


@pytest.mark.parametrize(("proxies", "flags"), [("", "00"), ("127.0.0.0/8", "01")])
async def test_trusted_proxies_alone_decide_on_a_trace(
    library_file: Path,
    upstream: Upstreams,
    monkeypatch: pytest.MonkeyPatch,
    proxies: str,
    flags: str,
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    more = {"tracing": True, "trusted_proxies": proxies}
    async with gateway(library_file, upstream, **more) as client:
        await client.get("/v1/books/dune", **place("01"))
    given = str(upstream.metadata["traceparent"])
    assert given.startswith(f"00-{TRACE}-")
    assert SPAN not in given
    assert given.endswith(flags)


async def test_without_the_setting_the_context_passes_as_it_came(
    library_file: Path, upstream: Upstreams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    async with gateway(library_file, upstream) as client:
        await client.get("/v1/books/dune", **place("00"))
    assert {name: upstream.metadata[name] for name in place("00")} == place("00")


@pytest.mark.parametrize(
    ("variable", "reason"),
    [
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "a variable of OpenTelemetry is wrong: "),
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "a variable of OpenTelemetry is wrong: "),
        ("", r"pip install 'lockstep-gateway\[tracing\]'"),
    ],
)
async def test_what_hinders_tracing_is_told(
    library_file: Path,
    upstream: Upstreams,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    reason: str,
) -> None:
    if variable:
        monkeypatch.setenv(variable, "soon")
    else:
        monkeypatch.setitem(sys.modules, EXPORTER, None)
    with pytest.raises(ConfigError, match=reason):
        async with gateway(library_file, upstream, tracing=True):
            pass
