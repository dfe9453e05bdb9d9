"""Auth on the wire: messages in, use cases, messages out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from google.protobuf.json_format import ParseDict
from google.protobuf.timestamp_pb2 import Timestamp
from lockstep.auth.v1 import auth_service_pb2 as auth_pb

from services.auth.addresses import AddressLimits, address_of
from services.auth.model import Status, User
from services.auth.registrations import Registration
from services.auth.sessions import Tokens
from services.auth.tokens import ACCESS_SECONDS
from services.auth.usecases.check_session import CheckSession
from services.auth.usecases.get_jwks import GetJwks
from services.auth.usecases.get_user import GetUser
from services.auth.usecases.login import Login
from services.auth.usecases.logout import Logout
from services.auth.usecases.refresh_token import RefreshToken
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
    limits: AddressLimits
    register: Register
    login: Login
    refresh_token: RefreshToken
    logout: Logout
    check_session: CheckSession
    get_jwks: GetJwks
    get_user: GetUser

    async def Register(
        self, request: auth_pb.RegisterRequest, call: Call
    ) -> auth_pb.RegisterResponse:
        """Register an account."""
        await self.limits.spend(call)
        result = await self.register(registration_of(request), key=self.request_keys.of(call))
        return ParseDict(result, auth_pb.RegisterResponse())

    async def Login(self, request: auth_pb.LoginRequest, call: Call) -> auth_pb.LoginResponse:
        """Open a session."""
        address = await self.limits.spend(call)
        tokens = await self.login(email=request.email, password=request.password, address=address)
        return auth_pb.LoginResponse(**_tokens(tokens))

    async def RefreshToken(
        self, request: auth_pb.RefreshTokenRequest, call: Call
    ) -> auth_pb.RefreshTokenResponse:
        """Renew a session."""
        address = await self.limits.spend(call)
        tokens = await self.refresh_token(refresh_token=request.refresh_token, address=address)
        return auth_pb.RefreshTokenResponse(**_tokens(tokens))

    async def Logout(self, request: auth_pb.LogoutRequest, call: Call) -> auth_pb.LogoutResponse:
        """End a session, or all."""
        await self.logout(
            caller=call.user, all_sessions=request.all_sessions, address=address_of(call)
        )
        return auth_pb.LogoutResponse()

    async def CheckSession(
        self, request: auth_pb.CheckSessionRequest, call: Call
    ) -> auth_pb.CheckSessionResponse:
        """Say whether a session lives."""
        session = await self.check_session(sid=request.sid)
        if session is None:
            return auth_pb.CheckSessionResponse()
        return auth_pb.CheckSessionResponse(active=True, role=session.role)

    async def GetJwks(self, request: auth_pb.GetJwksRequest, call: Call) -> auth_pb.GetJwksResponse:
        """Publish the public keys."""
        keys = await self.get_jwks()
        return auth_pb.GetJwksResponse(keys=[auth_pb.Jwk(**key) for key in keys])

    async def GetUser(self, request: auth_pb.GetUserRequest, call: Call) -> auth_pb.User:
        """Get a user."""
        return user_message(await self.get_user(caller=call.user, user_id=request.user_id))


def _tokens(tokens: Tokens) -> dict[str, Any]:
    return {
        "token": tokens.access,
        "user_id": str(tokens.user_id),
        "email": tokens.email,
        "expires_in": ACCESS_SECONDS,
        "refresh_token": tokens.refresh,
    }


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
