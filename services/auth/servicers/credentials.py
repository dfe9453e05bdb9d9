"""AuthService: confirms e-mail addresses, and changes them and passwords."""

from __future__ import annotations

from dataclasses import dataclass

from lockstep.auth.v1 import auth_service_pb2 as auth_pb

from services.auth.domain import passwords
from services.auth.domain.ip_limits import IpRateLimiter, client_ip_of
from services.auth.domain.languages import language_of
from services.auth.servicers.messages import check_password, read_code, read_email, require
from services.auth.usecases.change_email import ChangeEmail
from services.auth.usecases.change_password import ChangePassword
from services.auth.usecases.request_password_reset import RequestPasswordReset
from services.auth.usecases.reset_password import ResetPassword
from services.auth.usecases.send_email_verification import SendEmailVerification
from services.auth.usecases.verify_email import VerifyEmail
from services.kernel.rpc.call import Call
from services.kernel.validation import Violations


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialServicer:
    """Confirms e-mail addresses, and changes them and passwords."""

    limits: IpRateLimiter
    verify_email: VerifyEmail
    send_email_verification: SendEmailVerification
    change_email: ChangeEmail
    request_password_reset: RequestPasswordReset
    reset_password: ResetPassword
    change_password: ChangePassword

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
        flow_id = await self.request_password_reset(
            email.canonical, language=language_of(call), client_ip=client_ip
        )
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
