"""The process of the command, from its settings to its end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator

import structlog
import uvloop
from lockstep_gateway import build
from lockstep_gateway.binding.descriptors import DescriptorError
from lockstep_gateway.command.arguments import PROGRAM, read_settings
from lockstep_gateway.command.logs import start_logging
from lockstep_gateway.command.metrics import measured
from lockstep_gateway.command.settings import CommandSettings, ConfigError
from lockstep_gateway.command.traces import traced
from lockstep_gateway.http.upstream import UpstreamError
from lockstep_gateway.opening import open_gateway
from lockstep_gateway.settings import head_limits, server_config

log = structlog.get_logger("gateway")


async def serve(settings: CommandSettings) -> None:
    """Serve until SIGTERM or SIGINT."""
    async with running(settings) as port:
        url = f"{settings.scheme}://{settings.gateway_host}:{port}"
        log.info("listening", url=url, port=port)
        await _until_stopped()
        log.info("stopping")


@contextlib.asynccontextmanager
async def running(settings: CommandSettings) -> AsyncIterator[int]:
    """Run a gateway until the context ends; give its port.

    Raises:
        ConfigError: Spans are wanted, but cannot be sent.
        DescriptorError: The descriptors cannot be served.
        UpstreamError: The target of an upstream is malformed.
        OSError: A port is taken or not allowed, or a file cannot be read.
    """
    server = server_config(
        settings,
        listen_on=(settings.gateway_host, settings.gateway_port),
        stop_delay_seconds=settings.gateway_stop_delay_seconds,
        stop_grace_seconds=settings.gateway_stop_grace_seconds,
        another_signal=_until_stopped,
    )
    with (
        traced(is_wanted=settings.gateway_tracing) as spans,
        measured(settings.gateway_metrics_host, settings.gateway_metrics_port) as meter,
    ):
        gateway = open_gateway(
            *settings.gateway_upstream,
            descriptors=settings.gateway_descriptors,
            upstream_tls=settings.gateway_upstream_tls,
            strict=settings.gateway_strict,
            method_option=settings.gateway_method_option,
            settings=settings,
            meter=meter,
            spans=spans,
        )
        async with gateway as switch, build.serving(switch, server, head_limits(settings)) as port:
            yield port


async def _until_stopped() -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await stopped.wait()


def run() -> None:
    """Run the command; refuse a start in a line for each reason."""
    settings = read_settings()
    start_logging(settings.gateway_log_level, settings.gateway_log_format)
    # Until the server listens there is nothing to ask anew.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        uvloop.run(serve(settings))
    except (ConfigError, DescriptorError, UpstreamError, OSError) as error:
        sys.exit(f"{PROGRAM}: {error}")
