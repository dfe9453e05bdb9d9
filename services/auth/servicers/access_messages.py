"""The answer of GetUserAccess."""

from __future__ import annotations

from uuid import UUID

from lockstep.auth.v1 import auth_service_pb2 as auth_pb

from services.auth.servicers.messages import session_message, user_message
from services.auth.store.outbox import QueuedMail
from services.auth.store.places import PlaceCounter
from services.auth.usecases.get_user_access import UserAccess
from services.kernel.rpc.timestamps import timestamp


def access_message(found: UserAccess, *, own_session: UUID | None) -> auth_pb.UserAccess:
    """Write how an account stands.

    Args:
        found: The facts.
        own_session: The session of the caller, if the caller has one.
    """
    return auth_pb.UserAccess(
        user=user_message(found.user),
        sessions=[
            session_message(each, is_current=each.id == own_session) for each in found.sessions
        ],
        wrong_passwords=found.logins.wrong_passwords,
        places=map(_place, found.logins.places),
        codes=[
            auth_pb.CodeCounter(purpose=each.purpose, sent=each.sent, wrong=each.wrong)
            for each in found.codes
        ],
        waiting_mail=map(mail_message, found.waiting_mail),
    )


def _place(counter: PlaceCounter) -> auth_pb.PlaceCounter:
    return auth_pb.PlaceCounter(
        wrong_passwords=counter.wrong_passwords,
        wait_until=None if counter.wait_until is None else timestamp(counter.wait_until),
    )


def mail_message(mail: QueuedMail) -> auth_pb.WaitingMail:
    """Write a mail that waits."""
    return auth_pb.WaitingMail(
        id=str(mail.id),
        create_time=timestamp(mail.create_time),
        attempts=mail.attempts,
        last_error=mail.last_error or "",
        next_try_time=timestamp(mail.next_try_time),
        expire_time=timestamp(mail.expire_time),
    )
