"""The events of Profile: what to tell others once it is final (see `kernel.events.writer`)."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from lockstep.events.v1 import profile_events_pb2 as pb
from lockstep.profile.v1 import event_service_pb2

from services.kernel.db.database import Database
from services.kernel.events.servicer import EventServicer
from services.kernel.events.writer import Fact

SERVICE = event_service_pb2.DESCRIPTOR.services_by_name["EventService"]
MESSAGES = pb.DESCRIPTOR.message_types_by_name
TYPES = frozenset(message.full_name for message in MESSAGES.values())


def servicer(database: Database) -> EventServicer:
    """Return the servicer of EventService."""
    return EventServicer(database, TYPES)


def profile_changed(profile_id: UUID, *, user_id: UUID, fields: Iterable[str]) -> Fact:
    """Tell that fields of a profile have changed."""
    message = pb.ProfileChanged(
        profile_id=str(profile_id), user_id=str(user_id), changed_fields=sorted(fields)
    )
    return Fact(f"users/{user_id}", message)


def brand_changed(brand_id: UUID, *, fields: Iterable[str]) -> Fact:
    """Tell that fields of a brand have changed."""
    message = pb.BrandChanged(brand_id=str(brand_id), changed_fields=sorted(fields))
    return Fact(f"brands/{brand_id}", message)


def transfer_posted(
    transfer_id: UUID,
    *,
    wallet_id: UUID,
    kind: str,
    amount: int,
    original_id: UUID | None,
    is_pending: bool,
) -> Fact:
    """Tell that a transfer has moved money."""
    message = pb.TransferPosted(
        transfer_id=str(transfer_id),
        wallet_id=str(wallet_id),
        kind=kind,
        amount=amount,
        original_id="" if original_id is None else str(original_id),
        pending=is_pending,
    )
    return Fact(f"wallets/{wallet_id}", message)
