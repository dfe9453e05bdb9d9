"""The registration saga: a user here and a profile at Profile, both or neither."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from google.protobuf.json_format import MessageToDict
from lockstep.profile.v1 import profile_service_pb2 as profile_pb
from lockstep.profile.v1 import profile_service_pb2_grpc as profile_grpc

from services.auth.domain import codes
from services.auth.domain.audit import note_registration
from services.auth.domain.registration import Details
from services.auth.errors import EmailTaken, RegistrationInProgress, RegistrationUnavailable
from services.auth.model import Status, mailbox
from services.auth.store import users
from services.common.vocabulary import Role
from services.kernel.db.database import Transaction
from services.kernel.errors import DomainError
from services.kernel.ids import new_id
from services.kernel.sagas.model import Json, Saga
from services.kernel.sagas.protocol import NewSaga
from services.kernel.sagas.remote import saga_step

IssueCode = Callable[..., Awaitable[None]]


def payload_of(details: Details, *, is_verified: bool) -> Json:
    """Return what the saga needs to know: no password, hash, code or token.

    Args:
        details: The registration.
        is_verified: Whether the mailbox is proven already (a sign-up by code).
    """
    return {
        "email": details.email.typed,
        "email_canonical": details.email.canonical,
        "full_name": details.full_name,
        "role": str(details.role),
        "is_verified": is_verified,
        "verification_flow_id": "" if is_verified else str(new_id()),
        "profile": {
            "role": str(details.role),
            "initial_status": "active" if is_verified else "pending",
            "first_name": details.first_name,
            "last_name": details.last_name,
            "phone_number": details.phone_number,
            "address": details.address,
            "course": details.course,
            # Only brands have a brand, whatever else was sent along.
            "company": details.company if details.role is Role.BRAND else None,
            "company_size": details.company_size if details.role is Role.BRAND else None,
            "user_role": details.user_role if details.role is Role.BRAND else None,
        },
    }


def new_registration(details: Details, *, password_hash: str, is_verified: bool) -> NewSaga:
    """Return the saga of a registration, which begins with a PENDING user.

    Args:
        details: The registration.
        password_hash: Of the password; goes into the user's row and nowhere else.
        is_verified: Whether the mailbox is proven already (a sign-up by code).
    """
    saga_id, user_id = new_id(), new_id()

    async def initial_change(tx: Transaction) -> None:
        inserted = await users.insert_pending(
            tx,
            user_id=user_id,
            saga_id=saga_id,
            email=details.email,
            password_hash=password_hash,
            full_name=details.full_name,
            role=details.role,
        )
        if not inserted:
            raise taken(await users.status_of_email(tx, details.email.canonical))

    return NewSaga(
        id=saga_id,
        kind=RegistrationSaga.kind,
        payload=payload_of(details, is_verified=is_verified),
        user_id=user_id,
        initial_change=initial_change,
    )


def taken(status: Status | None) -> EmailTaken | RegistrationInProgress:
    """Say why an address cannot be registered.

    Args:
        status: Of the user who has it. A PENDING user may yet vanish, and one that has
            vanished was PENDING.
    """
    return RegistrationInProgress() if status in (None, Status.PENDING) else EmailTaken()


class RegistrationSaga:
    """See the module.

    Args:
        profiles: Profile, called with Auth's identity.
        issue_code: Writes the code that confirms the address, and its mail, in T2.
    """

    kind = "registration"
    deadline_seconds: float | None = 5.0

    def __init__(
        self, profiles: profile_grpc.ProfileServiceAsyncStub, *, issue_code: IssueCode
    ) -> None:
        """See the class."""
        self._profiles = profiles
        self._issue_code = issue_code

    async def forward(self, saga: Saga) -> Json:
        """Create the profile."""
        fields = {
            name: value for name, value in saga.payload["profile"].items() if value is not None
        }
        request = profile_pb.CreateProfileRequest(
            saga_id=str(saga.id), user_id=str(saga.user_id), **fields
        )
        assert saga.not_after is not None
        request.not_after.FromDatetime(saga.not_after)
        with saga_step():
            response = await self._profiles.CreateProfile(request)
        replies: Json = MessageToDict(response, preserving_proto_field_name=True)
        return replies

    async def complete(self, tx: Transaction, saga: Saga, replies: Json) -> Json:
        """Make the user ACTIVE, and send the code that confirms the address."""
        payload, user_id = saga.payload, _user_id(saga)
        row = await users.activate(
            tx, user_id=user_id, saga_id=saga.id, is_verified=payload["is_verified"]
        )
        if row is not None and payload["verification_flow_id"]:
            await self._issue_code(
                tx,
                flow_id=UUID(payload["verification_flow_id"]),
                email=payload["email_canonical"],
                to=mailbox(payload["email"], payload["email_canonical"]),
                user_id=user_id,
            )
        if row is not None:
            await note_registration(tx, user_id=user_id, saga_id=saga.id)
        if payload["is_verified"]:  # by the code of a sign-up
            await codes.discard_payload(tx, saga.id)
        return {
            "user": _user(payload, user_id, row),
            "verification_flow_id": payload["verification_flow_id"],
            **replies,
        }

    async def compensate(self, saga: Saga) -> None:
        """Cancel the profile, also when it was refused: a duplicate may come later."""
        await self._profiles.CancelProfile(
            profile_pb.CancelProfileRequest(saga_id=str(saga.id), user_id=str(saga.user_id))
        )

    async def undo(self, tx: Transaction, saga: Saga) -> None:
        """Delete the user, last of all: its row keeps the address until then."""
        await users.delete_pending(tx, _user_id(saga))
        await codes.reinstate(tx, saga.id)

    def unavailable(self) -> DomainError:
        """Say that nothing was registered."""
        return RegistrationUnavailable()


def _user_id(saga: Saga) -> UUID:
    assert saga.user_id is not None
    return saga.user_id


def _user(payload: Json, user_id: UUID, row: Any) -> Json:
    user = {
        "id": str(user_id),
        "email": payload["email"],
        "full_name": payload["full_name"],
        "role": payload["role"],
        "email_verified": payload["is_verified"],
    }
    if row is not None:
        user["create_time"] = row.create_time.isoformat()
    return user
