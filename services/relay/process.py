"""The parts of the relay, put together."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import grpc
from google.protobuf.descriptor import FileDescriptor
from lockstep.auth.v1 import event_service_pb2_grpc as auth_grpc
from lockstep.commerce.v1 import event_service_pb2_grpc as commerce_grpc
from lockstep.events.v1 import auth_events_pb2, commerce_events_pb2, profile_events_pb2
from lockstep.profile.v1 import event_service_pb2_grpc as profile_grpc
from opentelemetry.metrics import Meter

from services.common.channels import opener
from services.common.keys import KeyRing
from services.common.settings import CommonSettings, SettingsError
from services.common.tls import observe_ends, service_tls
from services.kernel.ids import process_name
from services.kernel.tasks import BackgroundTask
from services.kernel.telemetry.loop_lag import LoopLag
from services.kernel.telemetry.management import managed
from services.kernel.telemetry.metrics import Telemetry, create_counter
from services.relay.access import NatsAccess
from services.relay.broker import Broker
from services.relay.relay import SERVICE, Relay, measure
from services.relay.stream import EventStream

NAME: Final = "relay"
FIRST_SECONDS: Final = 3.0


@dataclass(frozen=True, slots=True)
class EventSource:
    """A service whose events are relayed."""

    stub: Any
    events: FileDescriptor

    @property
    def types(self) -> Collection[str]:
        """The full names of the types of its events."""
        return {each.full_name for each in self.events.message_types_by_name.values()}


SOURCES: Final[Mapping[str, EventSource]] = {
    "auth": EventSource(auth_grpc.EventServiceStub, auth_events_pb2.DESCRIPTOR),
    "profile": EventSource(profile_grpc.EventServiceStub, profile_events_pb2.DESCRIPTOR),
    "commerce": EventSource(commerce_grpc.EventServiceStub, commerce_events_pb2.DESCRIPTOR),
}


@contextlib.asynccontextmanager
async def running(
    settings: CommonSettings, *, from_first: Collection[str] = ()
) -> AsyncIterator[list[Relay]]:
    """Run the relay until the context ends.

    Args:
        settings: The settings; they name the broker.
        from_first: The services whose lost events are passed over.

    Raises:
        SettingsError: The settings name no broker, or would keep messages for too short a time.
        FileProblem: A key, a certificate or credentials cannot be used.
    """
    check_days(settings)
    access = NatsAccess.of(settings)
    keys = KeyRing.load(settings.keys, NAME)
    tls = service_tls(settings, NAME)
    telemetry = Telemetry(NAME, instance=process_name(NAME))
    async with AsyncExitStack() as stack:
        stack.callback(telemetry.close)
        management = stack.enter_context(
            managed(settings.metrics_host, settings.metrics_port(NAME), telemetry.registry)
        )
        if tls is not None:
            observe_ends(telemetry.meter, {"rpc": lambda: tls.pair.ends})
        targets = {name: getattr(settings, f"{name}_address") for name in SOURCES}
        channel = opener(targets, keys, stack, meter=telemetry.meter, tls=tls)
        broker = Broker(access, name=process_name(NAME))
        relays = _relays(broker, channel, settings, from_first, telemetry.meter)
        if management is not None:
            management.watch(partial(trouble_of, broker, relays))
        _started(stack, broker)
        await broker.connected(FIRST_SECONDS)
        _started(stack, *relays, LoopLag(telemetry.meter))
        yield relays


def _started(stack: AsyncExitStack, *workers: BackgroundTask) -> None:
    for worker in workers:
        worker.start()
        stack.push_async_callback(worker.stop)


def check_days(settings: CommonSettings) -> None:
    """Check that messages are kept for longer than events.

    Raises:
        SettingsError: A stream would lose its place with its last message.
    """
    if settings.nats_kept_days <= settings.events_kept_days:
        raise SettingsError(
            ["LOCKSTEP_NATS_KEPT_DAYS must be greater than LOCKSTEP_EVENTS_KEPT_DAYS"]
        )


def trouble_of(broker: Broker, relays: Collection[Relay]) -> str | None:
    """Say why the relay is not ready; None: it is."""
    troubles = [broker.trouble, *(each.trouble for each in relays)]
    return "; ".join(filter(None, troubles)) or None


def _relays(
    broker: Broker,
    channel: Callable[[str], grpc.aio.Channel],
    settings: CommonSettings,
    from_first: Collection[str],
    meter: Meter,
) -> list[Relay]:
    published = create_counter(
        meter,
        "lockstep.relay.published",
        unit="{event}",
        description="Events that were published",
        attributes=[{SERVICE: name} for name in SOURCES],
    )
    relays = [
        Relay(
            name,
            source.types,
            source.stub(channel(name)).WatchEvents,
            partial(_stream, broker, name, settings),
            published,
            from_first=name in from_first,
        )
        for name, source in SOURCES.items()
    ]
    measure(relays, meter)
    return relays


def _stream(broker: Broker, service: str, settings: CommonSettings) -> EventStream:
    return EventStream(
        broker.jetstream(),
        service,
        kept_days=settings.nats_kept_days,
        replicas=settings.nats_replicas,
    )
