"""Webhooks from and to the wire."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import SplitResult, urlsplit

from lockstep.auth.v1 import webhook_service_pb2 as webhook_pb

from services.auth.domain.public_addresses import is_public
from services.auth.readers.webhook_bodies import EVENT_TYPES
from services.auth.store.webhook_deliveries import DeliveryRow
from services.auth.store.webhooks import WebhookRow
from services.kernel.events.servicer import check_types
from services.kernel.rpc.timestamps import timestamp
from services.kernel.validation import URL_MAX, Violations

_State = webhook_pb.WebhookDeliveryState
_PREFIX: Final = "WEBHOOK_DELIVERY_STATE_"


def read_url(v: Violations, text: str, *, allows_private: bool) -> str:
    """Check the URL of a webhook."""
    field = "webhook.url"
    url = v.text(text, field, max_length=URL_MAX, required=True)
    if not url:
        return ""
    schemes = ("https", "http") if allows_private else ("https",)
    try:
        parts = urlsplit(url)
        is_right = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_right = False
    if not is_right or not url.isascii() or not url.isprintable() or " " in url:
        v.add(field, f"must be a URL in ASCII that begins with {' or '.join(schemes)}://")
    elif parts.username is not None or parts.password is not None or parts.fragment:
        v.add(field, "must have neither a user nor a password nor a fragment")
    elif not allows_private and _is_private(parts):
        v.add(field, "must lead to a public address")
    return url


def _is_private(parts: SplitResult) -> bool:
    """Return whether the host is an address that is not public; names are resolved later."""
    try:
        return not is_public(parts.hostname or "")
    except ValueError:
        return False


def read_types(v: Violations, types: Sequence[str]) -> list[str]:
    """Check the types of events that a webhook wants, and return each once, in order."""
    check_types(v, types, "webhook.types", EVENT_TYPES, wrong="must be a type of events")
    return sorted(set(types))


def read_state(v: Violations, wire: _State.ValueType) -> str | None:
    """Check the state of the deliveries to list; None for all."""
    if wire == webhook_pb.WEBHOOK_DELIVERY_STATE_UNSPECIFIED:
        return None
    if wire not in _State.values():  # enums are open: any number may come
        v.add("state", "must be a state of deliveries")
        return None
    return _State.Name(wire).removeprefix(_PREFIX)


def webhook_message(row: WebhookRow) -> webhook_pb.Webhook:
    """Write a webhook."""
    return webhook_pb.Webhook(
        id=str(row.id),
        url=row.url,
        description=row.description,
        types=row.types,
        disabled=row.disabled_reason is not None,
        disabled_reason=row.disabled_reason or "",
        failing_since=None if row.failing_since is None else timestamp(row.failing_since),
        old_secret_until=None if row.old_secret_until is None else timestamp(row.old_secret_until),
        create_time=timestamp(row.create_time),
    )


def delivery_message(row: DeliveryRow) -> webhook_pb.WebhookDelivery:
    """Write a delivery."""
    due = row.next_attempt_time
    return webhook_pb.WebhookDelivery(
        event_id=str(row.event_id),
        type=row.type,
        subject=row.subject,
        state=_State.Value(_PREFIX + row.state),
        attempts=row.attempts,
        last_status=row.last_status or 0,
        last_error=row.last_error or "",
        next_attempt_time=None if due is None else timestamp(due),
        create_time=timestamp(row.create_time),
        end_time=None if row.end_time is None else timestamp(row.end_time),
    )
