"""Auth on the wire: messages in, use cases, messages out."""

from __future__ import annotations

from dataclasses import dataclass

from google.protobuf.json_format import ParseDict
from google.protobuf.timestamp_pb2 import Timestamp
from lockstep.auth.v1 import auth_service_pb2 as auth_pb

from services.auth.model import Status, User
from services.auth.registrations import Registration
from services.auth.usecases.get_user import GetUser
from services.auth.usecases.register import Register
from services.kernel.call import Call
from services.kernel.idempotency import RequestKeys

_OPTIONAL = (
    "confirm_password",
    "role",
    "full_name",
    "first_name",
    "last_name",
    "phone_number",
    "address",
    "course",
    "company",
    "company_size",
    "user_role",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthServicer:
    """Serves AuthService."""

    request_keys: RequestKeys
    register: Register
    get_user: GetUser

    async def Register(
        self, request: auth_pb.RegisterRequest, call: Call
    ) -> auth_pb.RegisterResponse:
        """Register an account."""
        result = await self.register(registration_of(request), key=self.request_keys.of(call))
        return ParseDict(result, auth_pb.RegisterResponse())

    async def GetUser(self, request: auth_pb.GetUserRequest, call: Call) -> auth_pb.User:
        """Get a user."""
        return user_message(await self.get_user(caller=call.user, user_id=request.user_id))


def registration_of(request: auth_pb.RegisterRequest | auth_pb.SendOtpRequest) -> Registration:
    """Read a registration; absent fields are None."""
    given = {
        name: getattr(request, name)
        for name in _OPTIONAL
        if request.HasField(name)  # type: ignore[arg-type]
    }
    return Registration(email=request.email, password=request.password, **given)


def user_message(user: User) -> auth_pb.User:
    """Write a user."""
    created = Timestamp()
    created.FromDatetime(user.create_time)
    return auth_pb.User(
        id=str(user.id),
        email=user.email,
        full_name=user.full_name,
        role=user.role,
        create_time=created,
        email_verified=user.email_verified,
        disabled=user.status is Status.DISABLED,
    )
