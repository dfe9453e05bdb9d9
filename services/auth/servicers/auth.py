"""Auth on the wire: messages in, use cases, messages out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from google.protobuf.json_format import ParseDict
from lockstep.auth.v1 import auth_service_pb2 as auth_pb

from services.auth.domain import codes
from services.auth.domain.ip_limits import IpRateLimiter, client_ip_of
from services.auth.domain.registration import Registration
from services.auth.domain.sessions import Tokens
from services.auth.domain.tokens import ACCESS_SECONDS
from services.auth.model import Status, User
from services.auth.usecases.change_email import ChangeEmail
from services.auth.usecases.change_password import ChangePassword
from services.auth.usecases.check_session import CheckSession
from services.auth.usecases.delete_user import DeleteUser
from services.auth.usecases.disable_user import DisableUser
from services.auth.usecases.enable_user import EnableUser
from services.auth.usecases.flows import SubmittedCode
from services.auth.usecases.get_jwks import GetJwks
from services.auth.usecases.get_user import GetUser
from services.auth.usecases.list_users import ListUsers
from services.auth.usecases.login import Login
from services.auth.usecases.logout import Logout
from services.auth.usecases.refresh_token import RefreshToken
from services.auth.usecases.register import Register
from services.auth.usecases.request_password_reset import RequestPasswordReset
from services.auth.usecases.reset_password import ResetPassword
from services.auth.usecases.send_email_verification import SendEmailVerification
from services.auth.usecases.send_otp import SendOtp
from services.auth.usecases.verify_email import VerifyEmail
from services.auth.usecases.verify_otp import VerifyOtp
from services.kernel.rpc.call import Call
from services.kernel.rpc.timestamps import timestamp
from services.kernel.sagas.idempotency import RequestKeys

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

AUTH = auth_pb.DESCRIPTOR.services_by_name["AuthService"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthServicer:
    """Serves AuthService."""

    request_keys: RequestKeys
    limits: IpRateLimiter
    register: Register
    login: Login
    refresh_token: RefreshToken
    logout: Logout
    check_session: CheckSession
    get_jwks: GetJwks
    send_otp: SendOtp
    verify_otp: VerifyOtp
    verify_email: VerifyEmail
    send_email_verification: SendEmailVerification
    change_email: ChangeEmail
    request_password_reset: RequestPasswordReset
    reset_password: ResetPassword
    change_password: ChangePassword
    get_user: GetUser
    list_users: ListUsers
    disable_user: DisableUser
    enable_user: EnableUser
    delete_user: DeleteUser

    async def Register(
        self, request: auth_pb.RegisterRequest, call: Call
    ) -> auth_pb.RegisterResponse:
        """Register an account."""
        await self.limits.hit(call)
        result = await self.register(registration_of(request), key=self.request_keys.of(call))
        return ParseDict(result, auth_pb.RegisterResponse())

    async def SendOtp(self, request: auth_pb.SendOtpRequest, call: Call) -> auth_pb.SendOtpResponse:
        """Start a sign-up by mailed code."""
        await self.limits.hit(call)
        flow_id = await self.send_otp(registration_of(request))
        return auth_pb.SendOtpResponse(
            flow_id=str(flow_id),
            expires_in=int(codes.LIFE.total_seconds()),
            resend_after=int(codes.BETWEEN_SENDS.total_seconds()),
        )

    async def VerifyOtp(
        self, request: auth_pb.VerifyOtpRequest, call: Call
    ) -> auth_pb.VerifyOtpResponse:
        """End a sign-up by mailed code."""
        await self.limits.hit(call)
        return ParseDict(await self.verify_otp(_proof(request)), auth_pb.VerifyOtpResponse())

    async def Login(self, request: auth_pb.LoginRequest, call: Call) -> auth_pb.LoginResponse:
        """Open a session."""
        client_ip = await self.limits.hit(call)
        tokens = await self.login(
            email=request.email, password=request.password, client_ip=client_ip
        )
        return auth_pb.LoginResponse(**_tokens(tokens))

    async def RefreshToken(
        self, request: auth_pb.RefreshTokenRequest, call: Call
    ) -> auth_pb.RefreshTokenResponse:
        """Renew a session."""
        client_ip = await self.limits.hit(call)
        tokens = await self.refresh_token(refresh_token=request.refresh_token, client_ip=client_ip)
        return auth_pb.RefreshTokenResponse(**_tokens(tokens))

    async def Logout(self, request: auth_pb.LogoutRequest, call: Call) -> auth_pb.LogoutResponse:
        """End a session, or all."""
        await self.logout(
            caller=call.user, all_sessions=request.all_sessions, client_ip=client_ip_of(call)
        )
        return auth_pb.LogoutResponse()

    async def VerifyEmail(
        self, request: auth_pb.VerifyEmailRequest, call: Call
    ) -> auth_pb.VerifyEmailResponse:
        """Confirm an address."""
        client_ip = await self.limits.hit(call)
        await self.verify_email(_proof(request), client_ip=client_ip)
        return auth_pb.VerifyEmailResponse()

    async def SendEmailVerification(
        self, request: auth_pb.SendEmailVerificationRequest, call: Call
    ) -> auth_pb.SendEmailVerificationResponse:
        """Mail a new code for the caller's own address."""
        flow_id = await self.send_email_verification(caller=call.user)
        return auth_pb.SendEmailVerificationResponse(flow_id=str(flow_id))

    async def ChangeEmail(
        self, request: auth_pb.ChangeEmailRequest, call: Call
    ) -> auth_pb.ChangeEmailResponse:
        """Mail a code to a new address."""
        flow_id = await self.change_email(
            caller=call.user,
            new_email=request.new_email,
            password=request.password,
            client_ip=client_ip_of(call),
        )
        return auth_pb.ChangeEmailResponse(flow_id=str(flow_id))

    async def RequestPasswordReset(
        self, request: auth_pb.RequestPasswordResetRequest, call: Call
    ) -> auth_pb.RequestPasswordResetResponse:
        """Mail a code with which the password can be set anew."""
        await self.limits.hit(call)
        flow_id = await self.request_password_reset(email=request.email)
        return auth_pb.RequestPasswordResetResponse(flow_id=str(flow_id))

    async def ResetPassword(
        self, request: auth_pb.ResetPasswordRequest, call: Call
    ) -> auth_pb.ResetPasswordResponse:
        """Set a new password with a mailed code."""
        client_ip = await self.limits.hit(call)
        await self.reset_password(
            _proof(request), new_password=request.new_password, client_ip=client_ip
        )
        return auth_pb.ResetPasswordResponse()

    async def ChangePassword(
        self, request: auth_pb.ChangePasswordRequest, call: Call
    ) -> auth_pb.ChangePasswordResponse:
        """Change the caller's password."""
        await self.change_password(
            caller=call.user,
            current=request.current_password,
            new=request.new_password,
            client_ip=client_ip_of(call),
        )
        return auth_pb.ChangePasswordResponse()

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

    async def ListUsers(
        self, request: auth_pb.ListUsersRequest, call: Call
    ) -> auth_pb.ListUsersResponse:
        """List users."""
        users, token = await self.list_users(size=request.page_size, page_token=request.page_token)
        return auth_pb.ListUsersResponse(
            users=[user_message(user) for user in users], next_page_token=token
        )

    async def DisableUser(self, request: auth_pb.DisableUserRequest, call: Call) -> auth_pb.User:
        """Disable an account."""
        user = await self.disable_user(
            caller=call.user, user_id=request.user_id, client_ip=client_ip_of(call)
        )
        return user_message(user)

    async def EnableUser(self, request: auth_pb.EnableUserRequest, call: Call) -> auth_pb.User:
        """Enable a disabled account."""
        user = await self.enable_user(
            caller=call.user, user_id=request.user_id, client_ip=client_ip_of(call)
        )
        return user_message(user)

    async def DeleteUser(
        self, request: auth_pb.DeleteUserRequest, call: Call
    ) -> auth_pb.DeleteUserResponse:
        """Erase an account."""
        await self.delete_user(
            caller=call.user, user_id=request.user_id, client_ip=client_ip_of(call)
        )
        return auth_pb.DeleteUserResponse()


def _proof(
    request: auth_pb.VerifyOtpRequest | auth_pb.VerifyEmailRequest | auth_pb.ResetPasswordRequest,
) -> SubmittedCode:
    return SubmittedCode(flow_id=request.flow_id, email=request.email, otp=request.otp)


def _tokens(tokens: Tokens) -> dict[str, Any]:
    return {
        "token": tokens.access,
        "user_id": str(tokens.user_id),
        "email": tokens.email_display,
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
    return auth_pb.User(
        id=str(user.id),
        email=user.email_display,
        full_name=user.full_name,
        role=user.role,
        create_time=timestamp(user.create_time),
        email_verified=user.email_verified,
        disabled=user.status is Status.DISABLED,
    )
