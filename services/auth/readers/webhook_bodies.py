"""The bodies of webhooks: an event as JSON."""

from __future__ import annotations

import json
from datetime import UTC
from typing import Any, Final
from uuid import UUID

from google.protobuf.json_format import MessageToDict
from google.protobuf.message_factory import GetMessageClass
from lockstep.events.v1 import auth_events_pb2, commerce_events_pb2, profile_events_pb2
from lockstep.events.v1 import event_pb2 as event_pb

from services.auth.store.webhook_deliveries import QueuedEvent

_FILES = (auth_events_pb2, commerce_events_pb2, profile_events_pb2)
_TYPES = {
    message.full_name: message
    for file in _FILES
    for message in file.DESCRIPTOR.message_types_by_name.values()
}
EVENT_TYPES: Final = frozenset(_TYPES)


def queued(event: event_pb.Event) -> QueuedEvent:
    """Write an event as webhooks get it, in each attempt the same bytes."""
    content = {
        "id": event.id,
        "type": event.type,
        "timestamp": event.create_time.ToJsonString(),
        "subject": event.subject,
        "data": _data(event),
    }
    return QueuedEvent(
        event_id=UUID(event.id),
        type=event.type,
        subject=event.subject,
        body=json.dumps(content, separators=(",", ":")),
        time=event.create_time.ToDatetime(tzinfo=UTC),
    )


def _data(event: event_pb.Event) -> dict[str, Any]:
    """Return the payload; empty for a type of a service that is newer than this one."""
    kind = _TYPES.get(event.type)
    if kind is None:
        return {}
    message = GetMessageClass(kind)()
    event.payload.Unpack(message)
    return MessageToDict(message, always_print_fields_with_no_presence=True)
