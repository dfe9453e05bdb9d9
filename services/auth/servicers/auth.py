"""AuthService on the wire: each method reads a request, runs a use case and answers."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from lockstep.auth.v1 import auth_service_pb2 as auth_pb

from services.auth.domain import code_limits, codes, passwords
from services.auth.domain.emails import comparable_form
from services.auth.domain.ip_limits import IpRateLimiter, client_ip_of
from services.auth.model import CanonicalEmail
from services.auth.servicers.messages import (
    check_password,
    read_code,
    read_email,
    read_registration,
    registered_message,
    require,
    token_fields,
    user_message,
)
from services.auth.usecases.change_email import ChangeEmail
from services.auth.usecases.change_password import ChangePassword
from services.auth.usecases.change_role import ChangeRole
from services.auth.usecases.check_session import CheckSession
from services.auth.usecases.delete_user import DeleteUser
from services.auth.usecases.disable_user import DisableUser
from services.auth.usecases.enable_user import EnableUser
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
from services.auth.usecases.unlock_user import UnlockUser
from services.auth.usecases.verify_email import VerifyEmail
from services.auth.usecases.verify_otp import VerifyOtp
from services.common.vocabulary import Role
from services.kernel.paging import page_size
from services.kernel.rpc.call import Call
from services.kernel.sagas.idempotency import RequestKeys
from services.kernel.validation import Violations

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
    change_role: ChangeRole
    unlock_user: UnlockUser

    async def Register(
        self, request: auth_pb.RegisterRequest, call: Call
    ) -> auth_pb.RegisterResponse:
        """Register an account."""
        await self.limits.hit(call)
        key = self.request_keys.of(call)
        details = read_registration(request, is_complete=True)
        made = await self.register(details, password=request.password, key=key)
        return auth_pb.RegisterResponse(
            user=registered_message(made.user),
            profile=made.profile,
            brand=made.brand,
            verification_flow_id=str(made.verification_flow_id or ""),
        )

    async def SendOtp(self, request: auth_pb.SendOtpRequest, call: Call) -> auth_pb.SendOtpResponse:
        """Start a sign-up by mailed code."""
        client_ip = await self.limits.hit(call)
        details = read_registration(request, is_complete=False)
        flow_id = await self.send_otp(details, password=request.password, client_ip=client_ip)
        return auth_pb.SendOtpResponse(
            flow_id=str(flow_id),
            expires_in=int(codes.LIFE.total_seconds()),
            resend_after=int(code_limits.BETWEEN_SENDS.total_seconds()),
        )

    async def VerifyOtp(
        self, request: auth_pb.VerifyOtpRequest, call: Call
    ) -> auth_pb.VerifyOtpResponse:
        """End a sign-up by mailed code."""
        client_ip = await self.limits.hit(call)
        with Violations() as v:
            code = read_code(v, request)
        made = await self.verify_otp(code, client_ip=client_ip)
        return auth_pb.VerifyOtpResponse(
            user=registered_message(made.user), profile=made.profile, brand=made.brand
        )

    async def Login(self, request: auth_pb.LoginRequest, call: Call) -> auth_pb.LoginResponse:
        """Open a session."""
        client_ip = await self.limits.hit(call)
        with Violations() as v:
            require(v, request.email.strip(), "email")
            require(v, request.password, "password")
        tokens = await self.login(
            email=comparable_form(request.email), password=request.password, client_ip=client_ip
        )
        return auth_pb.LoginResponse(**token_fields(tokens))

    async def RefreshToken(
        self, request: auth_pb.RefreshTokenRequest, call: Call
    ) -> auth_pb.RefreshTokenResponse:
        """Renew a session."""
        client_ip = await self.limits.hit(call)
        with Violations() as v:
            require(v, request.refresh_token, "refresh_token")
        tokens = await self.refresh_token(request.refresh_token, client_ip=client_ip)
        return auth_pb.RefreshTokenResponse(**token_fields(tokens))

    async def Logout(self, request: auth_pb.LogoutRequest, call: Call) -> auth_pb.LogoutResponse:
        """End a session, or all."""
        await self.logout(
            caller=call.user, all_sessions=request.all_sessions, client_ip=client_ip_of(call)
        )
        return auth_pb.LogoutResponse()

    async def VerifyEmail(
        self, request: auth_pb.VerifyEmailRequest, call: Call
    ) -> auth_pb.VerifyEmailResponse:
        """Confirm an e-mail address."""
        client_ip = await self.limits.hit(call)
        with Violations() as v:
            code = read_code(v, request)
        await self.verify_email(code, client_ip=client_ip)
        return auth_pb.VerifyEmailResponse()

    async def SendEmailVerification(
        self, request: auth_pb.SendEmailVerificationRequest, call: Call
    ) -> auth_pb.SendEmailVerificationResponse:
        """Mail a new code for the caller's e-mail address."""
        flow_id = await self.send_email_verification(caller=call.user, client_ip=client_ip_of(call))
        return auth_pb.SendEmailVerificationResponse(flow_id=str(flow_id))

    async def ChangeEmail(
        self, request: auth_pb.ChangeEmailRequest, call: Call
    ) -> auth_pb.ChangeEmailResponse:
        """Mail a code to a new e-mail address."""
        with Violations() as v:
            new_email = read_email(v, request.new_email, "new_email")
            require(v, request.password, "password")
        flow_id = await self.change_email(
            caller=call.user,
            new_email=new_email,
            password=request.password,
            end_other_sessions=request.end_other_sessions,
            client_ip=client_ip_of(call),
        )
        return auth_pb.ChangeEmailResponse(flow_id=str(flow_id))

    async def RequestPasswordReset(
        self, request: auth_pb.RequestPasswordResetRequest, call: Call
    ) -> auth_pb.RequestPasswordResetResponse:
        """Mail the code that allows a new password."""
        client_ip = await self.limits.hit(call)
        with Violations() as v:
            email = read_email(v, request.email, "email")
        flow_id = await self.request_password_reset(email.canonical, client_ip=client_ip)
        return auth_pb.RequestPasswordResetResponse(flow_id=str(flow_id))

    async def ResetPassword(
        self, request: auth_pb.ResetPasswordRequest, call: Call
    ) -> auth_pb.ResetPasswordResponse:
        """Set a new password with a mailed code."""
        client_ip = await self.limits.hit(call)
        with Violations() as v:
            code = read_code(v, request)
            check_password(v, request.new_password, "new_password", email=code.email)
        await self.reset_password(code, new_password=request.new_password, client_ip=client_ip)
        return auth_pb.ResetPasswordResponse()

    async def ChangePassword(
        self, request: auth_pb.ChangePasswordRequest, call: Call
    ) -> auth_pb.ChangePasswordResponse:
        """Change the caller's password."""
        current, new = request.current_password, request.new_password
        with Violations() as v:
            require(v, current, "current_password")
            check_password(v, new, "new_password")
            if new and passwords.are_same(new, current):
                v.add("new_password", "must differ from the current one")
        await self.change_password(
            caller=call.user,
            current=current,
            new=new,
            keep_api_keys=request.keep_api_keys,
            client_ip=client_ip_of(call),
        )
        return auth_pb.ChangePasswordResponse()

    async def CheckSession(
        self, request: auth_pb.CheckSessionRequest, call: Call
    ) -> auth_pb.CheckSessionResponse:
        """Say whether a session lives."""
        with Violations() as v:
            session_id = v.uuid(request.sid, "sid")
        session = await self.check_session(session_id)
        if session is None:
            return auth_pb.CheckSessionResponse()
        return auth_pb.CheckSessionResponse(
            active=True, role=session.role, user_id=str(session.user_id)
        )

    async def GetJwks(self, request: auth_pb.GetJwksRequest, call: Call) -> auth_pb.GetJwksResponse:
        """Publish the public keys."""
        keys = await self.get_jwks()
        return auth_pb.GetJwksResponse(keys=[auth_pb.Jwk(**key) for key in keys])

    async def GetUser(self, request: auth_pb.GetUserRequest, call: Call) -> auth_pb.User:
        """Get a user."""
        with Violations() as v:
            user_id = v.user_id(request.user_id, "user_id", me=call.caller.own_id)
        return user_message(await self.get_user(caller=call.caller, user_id=user_id))

    async def ListUsers(
        self, request: auth_pb.ListUsersRequest, call: Call
    ) -> auth_pb.ListUsersResponse:
        """List users."""
        size = page_size(request.page_size)
        users, token = await self.list_users(size=size, page_token=request.page_token)
        return auth_pb.ListUsersResponse(
            users=[user_message(user) for user in users], next_page_token=token
        )

    async def DisableUser(self, request: auth_pb.DisableUserRequest, call: Call) -> auth_pb.User:
        """Disable an account."""
        with Violations() as v:
            user_id = v.uuid(request.user_id, "user_id")
        user = await self.disable_user(
            caller=call.caller, user_id=user_id, client_ip=client_ip_of(call)
        )
        return user_message(user)

    async def EnableUser(self, request: auth_pb.EnableUserRequest, call: Call) -> auth_pb.User:
        """Enable a disabled account."""
        with Violations() as v:
            user_id = v.uuid(request.user_id, "user_id")
        user = await self.enable_user(
            caller=call.caller, user_id=user_id, client_ip=client_ip_of(call)
        )
        return user_message(user)

    async def DeleteUser(
        self, request: auth_pb.DeleteUserRequest, call: Call
    ) -> auth_pb.DeleteUserResponse:
        """Erase an account."""
        with Violations() as v:
            user_id = v.user_id(request.user_id, "user_id", me=call.caller.own_id)
        await self.delete_user(caller=call.caller, user_id=user_id, client_ip=client_ip_of(call))
        return auth_pb.DeleteUserResponse()

    async def PromoteUser(self, request: auth_pb.PromoteUserRequest, call: Call) -> auth_pb.User:
        """Make a user an administrator."""
        with Violations() as v:
            email = read_email(v, request.email, "email")
        return await self._changed(email.canonical, Role.ADMIN, call)

    async def DemoteUser(self, request: auth_pb.DemoteUserRequest, call: Call) -> auth_pb.User:
        """Make an administrator a customer."""
        with Violations() as v:
            email = read_email(v, request.email, "email")
        return await self._changed(email.canonical, Role.CUSTOMER, call)

    async def UnlockUser(self, request: auth_pb.UnlockUserRequest, call: Call) -> auth_pb.User:
        """Clear the counters of an account."""
        account: UUID | CanonicalEmail
        with Violations() as v:
            if request.email:
                account = read_email(v, request.email, "email").canonical
            else:
                account = v.uuid(request.user_id, "user_id")
        user = await self.unlock_user(account, actor=call.actor, client_ip=client_ip_of(call))
        return user_message(user)

    async def _changed(self, email: CanonicalEmail, role: Role, call: Call) -> auth_pb.User:
        return user_message(await self.change_role(email, role, actor=call.service.name))
