"""The registration saga: a user here and a profile at Profile, both or neither."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal, Protocol, TypeVar
from uuid import UUID

import pydantic
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.protobuf.message import Message
from lockstep.profile.v1 import profile_service_pb2 as profile_pb
from lockstep.profile.v1 import profile_service_pb2_grpc as profile_grpc
from pydantic import BeforeValidator, PlainSerializer, PlainValidator

from services.auth import events
from services.auth.domain import codes
from services.auth.domain.audit import Audit, Event
from services.auth.domain.registration import Details
from services.auth.errors import EmailTaken, RegistrationInProgress, RegistrationUnavailable
from services.auth.model import CanonicalEmail, Recipient, Status, mailbox
from services.auth.store import users
from services.auth.store.users import ActivatedUser
from services.common.vocabulary import Role
from services.kernel.audit import log
from services.kernel.db.database import Transaction
from services.kernel.events.writer import tell
from services.kernel.ids import new_id
from services.kernel.rpc.timestamps import moment_of, timestamp
from services.kernel.sagas.model import STORED, NewSaga, RunningSaga, SagaKind
from services.kernel.sagas.protocol import Deadline, ReversibleSaga
from services.kernel.sagas.remote import saga_step

M = TypeVar("M", bound=Message)


def _read(message: type[M]) -> Callable[[object], M]:
    def read(kept: object) -> M:
        if isinstance(kept, message):
            return kept
        if not isinstance(kept, dict):
            raise ValueError("must be an object")
        try:
            return ParseDict(kept, message())
        except ParseError as error:
            raise ValueError(str(error)) from error

    return read


def _write(message: Message) -> dict[str, object]:
    return MessageToDict(message, preserving_proto_field_name=True)


# Profile's own answers are kept as the JSON of protobuf, which leaves out empty fields.
ProfileMessage = Annotated[
    profile_pb.Profile, PlainValidator(_read(profile_pb.Profile)), PlainSerializer(_write)
]
BrandMessage = Annotated[
    profile_pb.Brand, PlainValidator(_read(profile_pb.Brand)), PlainSerializer(_write)
]
FlowId = Annotated[
    UUID | None,
    BeforeValidator(lambda kept: kept or None),
    PlainSerializer(lambda flow_id: "" if flow_id is None else str(flow_id)),
]
Moment = Annotated[datetime, PlainSerializer(datetime.isoformat)]


@pydantic.dataclasses.dataclass(frozen=True, slots=True, config=STORED)
class ProfilePayload:
    """The profile that is to be created."""

    role: Role
    initial_status: Literal["active", "pending"]
    first_name: str | None
    last_name: str | None
    phone_number: str | None
    address: str | None
    course: str | None
    company: str | None
    company_size: str | None
    user_role: str | None


@pydantic.dataclasses.dataclass(frozen=True, slots=True, config=STORED)
class RegistrationPayload:
    """The facts that the steps need: no password, hash, code or token.

    Attributes:
        email: The e-mail as it was typed.
        is_verified: Whether the mailbox is proven already (a sign-up by code).
        verification_flow_id: The flow of the code that proves it; None when none is mailed.
    """

    email: str
    email_canonical: CanonicalEmail
    full_name: str
    role: Role
    is_verified: bool
    verification_flow_id: FlowId
    profile: ProfilePayload


@dataclass(frozen=True, slots=True)
class ProfileCreated:
    """Profile's answer."""

    profile: profile_pb.Profile
    brand: profile_pb.Brand | None


@pydantic.dataclasses.dataclass(frozen=True, slots=True, config=STORED)
class RegisteredUser:
    """A new user; without a time when it was deleted at the same moment."""

    id: UUID
    email: str
    full_name: str
    role: Role
    email_verified: bool
    create_time: Moment | None = None


@pydantic.dataclasses.dataclass(frozen=True, slots=True, config=STORED)
class Registered:
    """The answer to a registration."""

    user: RegisteredUser
    verification_flow_id: FlowId
    profile: ProfileMessage
    brand: BrandMessage | None = None


REGISTRATION = SagaKind("registration", RegistrationPayload, Registered, version=1)


def new_registration(
    details: Details,
    *,
    password_hash: str,
    is_verified: bool,
    has_code: bool,
    audit: Audit,
    actor: str | None,
    client_ip: str | None,
) -> NewSaga[RegistrationPayload, Registered]:
    """Return the saga of a registration, which begins with a PENDING user.

    Args:
        details: The registration.
        password_hash: The hash of the password, for the user's row and nowhere else.
        is_verified: Whether the mailbox is proven already (a sign-up by code).
        has_code: Whether the owner gets a code that proves it.
        audit: The audit log.
        actor: The service that registers; None: the user itself.
        client_ip: The caller's.
    """
    user_id = new_id()

    async def insert_user(tx: Transaction, saga_id: UUID) -> None:
        is_inserted = await users.insert_pending(
            tx,
            user_id=user_id,
            saga_id=saga_id,
            email=details.email,
            password_hash=password_hash,
            full_name=details.full_name,
            role=details.role,
            language=details.language,
        )
        if not is_inserted:
            raise taken(await users.status_of_email(tx, details.email.canonical))
        await audit.begin(
            tx,
            saga_id,
            Event.REGISTRATION_REQUESTED,
            user_id=user_id,
            account=details.email.canonical,
            actor=actor,
            client_ip=client_ip,
        )

    payload = payload_of(details, is_verified=is_verified, has_code=has_code)
    return REGISTRATION.new(payload, user_id=user_id, initial_change=insert_user)


def taken(status: Status | None) -> EmailTaken | RegistrationInProgress:
    """Return why an e-mail cannot be registered.

    Args:
        status: The status of the user who has it. A PENDING user may yet vanish, and a user
            who has vanished was PENDING.
    """
    return RegistrationInProgress() if status in (None, Status.PENDING) else EmailTaken()


def payload_of(details: Details, *, is_verified: bool, has_code: bool) -> RegistrationPayload:
    """Return the payload of a registration."""
    is_brand = details.role is Role.BRAND  # only a brand has these, whatever else was sent
    return RegistrationPayload(
        email=details.email.typed,
        email_canonical=details.email.canonical,
        full_name=details.full_name,
        role=details.role,
        is_verified=is_verified,
        verification_flow_id=new_id() if has_code else None,
        profile=ProfilePayload(
            role=details.role,
            initial_status="active" if is_verified else "pending",
            first_name=details.first_name,
            last_name=details.last_name,
            phone_number=details.phone_number,
            address=details.address,
            course=details.course,
            company=details.company if is_brand else None,
            company_size=details.company_size if is_brand else None,
            user_role=details.user_role if is_brand else None,
        ),
    )


class IssueCode(Protocol):
    """Mails the code that confirms the e-mail of a new account (see `Codes`)."""

    async def __call__(
        self, tx: Transaction, *, flow_id: UUID, email: CanonicalEmail, to: Recipient, user_id: UUID
    ) -> None:
        """Write the code and its mail, once for each flow."""


@dataclass(frozen=True, slots=True)
class RegistrationSaga(ReversibleSaga[RegistrationPayload, ProfileCreated, Registered]):
    """See the module."""

    profiles: profile_grpc.ProfileServiceAsyncStub
    issue_code: IssueCode

    kind = REGISTRATION
    deadline = Deadline(seconds=5.0, error=RegistrationUnavailable)

    async def forward(self, saga: RunningSaga[RegistrationPayload]) -> ProfileCreated:
        """Create the profile."""
        wanted = saga.payload.profile
        request = profile_pb.CreateProfileRequest(
            saga_id=str(saga.id),
            user_id=str(saga.user_id),
            not_after=timestamp(saga.not_after),
            role=wanted.role,
            initial_status=wanted.initial_status,
            first_name=wanted.first_name,
            last_name=wanted.last_name,
            phone_number=wanted.phone_number,
            address=wanted.address,
            course=wanted.course,
            company=wanted.company,
            company_size=wanted.company_size,
            user_role=wanted.user_role,
        )
        with saga_step():
            response = await self.profiles.CreateProfile(request)
        brand = response.brand if response.HasField("brand") else None
        return ProfileCreated(response.profile, brand)

    def time_of(self, answer: ProfileCreated) -> datetime | None:
        """Return when the profile was created."""
        return moment_of(answer.profile, "create_time")

    async def complete(
        self, tx: Transaction, saga: RunningSaga[RegistrationPayload], answer: ProfileCreated
    ) -> Registered:
        """Make the user ACTIVE, and send the code that confirms the e-mail."""
        payload = saga.payload
        user = await users.activate(
            tx, user_id=saga.user_id, saga_id=saga.id, is_verified=payload.is_verified
        )
        if user is not None:
            await self._welcome(tx, saga, user)
        if payload.is_verified:  # by the code of a sign-up
            await codes.discard_payload(tx, saga.id)
        return Registered(
            user=_registered(saga, user),
            verification_flow_id=payload.verification_flow_id,
            profile=answer.profile,
            brand=answer.brand,
        )

    async def _welcome(
        self, tx: Transaction, saga: RunningSaga[RegistrationPayload], user: ActivatedUser
    ) -> None:
        payload = saga.payload
        if payload.verification_flow_id is not None:
            await self.issue_code(
                tx,
                flow_id=payload.verification_flow_id,
                email=payload.email_canonical,
                to=Recipient(mailbox(payload.email, payload.email_canonical), user.language),
                user_id=saga.user_id,
            )
        await log.conclude(tx, saga.id, Event.USER_CREATED, user_id=saga.user_id)
        registered = events.user_registered(
            saga.user_id, role=payload.role, email_verified=payload.is_verified
        )
        await tell(tx, registered, saga_id=saga.id)

    async def compensate(self, saga: RunningSaga[RegistrationPayload]) -> None:
        """Cancel the profile, also when it was refused: a duplicate may come later."""
        await self.profiles.CancelProfile(
            profile_pb.CancelProfileRequest(saga_id=str(saga.id), user_id=str(saga.user_id))
        )

    async def undo(self, tx: Transaction, saga: RunningSaga[RegistrationPayload]) -> None:
        """Delete the user, last of all: its row keeps the e-mail until then."""
        await users.delete_pending(tx, saga.user_id)
        await codes.reinstate(tx, saga.id)


def _registered(
    saga: RunningSaga[RegistrationPayload], user: ActivatedUser | None
) -> RegisteredUser:
    payload = saga.payload
    return RegisteredUser(
        id=saga.user_id,
        email=payload.email,
        full_name=payload.full_name,
        role=payload.role,
        email_verified=payload.is_verified,
        create_time=None if user is None else user.create_time,
    )
