"""The channels of a service to others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack

import grpc
from lockstep_clients import ServiceIdentity, connect
from opentelemetry.metrics import Meter

from services.common.keys import KeyRing
from services.common.tls import Tls
from services.kernel.rpc.metering import ClientMeter
from services.kernel.rpc.tracing import TraceInterceptor


def opener(
    targets: Mapping[str, str],
    keys: KeyRing,
    stack: AsyncExitStack,
    *,
    meter: Meter,
    tls: Tls | None,
) -> Callable[[str], grpc.aio.Channel]:
    """Return a function that opens a channel to a service.

    Args:
        targets: The gRPC target of each service.
        keys: Prove who calls.
        stack: Closes the channels.
        meter: Measures the calls.
        tls: The credentials of the transport; None: plain text.
    """
    identity = ServiceIdentity(keys.service, keys.private_key)
    interceptors = [TraceInterceptor(), ClientMeter(meter)]

    def channel(name: str) -> grpc.aio.Channel:
        opened = connect(
            targets[name],
            identity=identity,
            audience=name,
            tls=tls,
            interceptors=interceptors,
        )
        stack.push_async_callback(opened.close)
        return opened

    return channel
