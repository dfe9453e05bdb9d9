"""The events of Auth: what to tell others once it is final (see `kernel.events.writer`)."""

from __future__ import annotations

from uuid import UUID

from google.protobuf.message import Message
from lockstep.auth.v1 import event_service_pb2
from lockstep.events.v1 import auth_events_pb2 as pb

from services.common.vocabulary import Role
from services.kernel.db.database import Database
from services.kernel.events.servicer import EventServicer
from services.kernel.events.writer import Fact

SERVICE = event_service_pb2.DESCRIPTOR.services_by_name["EventService"]
MESSAGES = pb.DESCRIPTOR.message_types_by_name
TYPES = frozenset(message.full_name for message in MESSAGES.values())


def servicer(database: Database) -> EventServicer:
    """Return the servicer of EventService."""
    return EventServicer(database, TYPES)


def user_registered(user_id: UUID, *, role: Role, email_verified: bool) -> Fact:
    """Tell that an account was registered."""
    message = pb.UserRegistered(user_id=str(user_id), role=role, email_verified=email_verified)
    return _of_user(user_id, message)


def user_verified(user_id: UUID) -> Fact:
    """Tell that a user has confirmed the e-mail."""
    return _of_user(user_id, pb.UserVerified(user_id=str(user_id)))


def user_email_changed(user_id: UUID) -> Fact:
    """Tell that an account has another e-mail."""
    return _of_user(user_id, pb.UserEmailChanged(user_id=str(user_id)))


def user_disabled(user_id: UUID) -> Fact:
    """Tell that an account was disabled."""
    return _of_user(user_id, pb.UserDisabled(user_id=str(user_id)))


def user_enabled(user_id: UUID) -> Fact:
    """Tell that a disabled account was enabled."""
    return _of_user(user_id, pb.UserEnabled(user_id=str(user_id)))


def user_deleted(user_id: UUID) -> Fact:
    """Tell that an account was erased."""
    return _of_user(user_id, pb.UserDeleted(user_id=str(user_id)))


def webhook_disabled(webhook_id: UUID) -> Fact:
    """Tell that a webhook was disabled, because its receiver takes nothing."""
    return Fact(f"webhooks/{webhook_id}", pb.WebhookDisabled(webhook_id=str(webhook_id)))


def _of_user(user_id: UUID, message: Message) -> Fact:
    return Fact(f"users/{user_id}", message)
