"""AuthService: registers people."""

from __future__ import annotations

from dataclasses import dataclass

from lockstep.auth.v1 import auth_service_pb2 as auth_pb

from services.auth.domain import code_limits, codes
from services.auth.domain.ip_limits import IpRateLimiter
from services.auth.domain.languages import language_of
from services.auth.servicers.messages import (
    read_code,
    read_import,
    read_registration,
    registered_message,
)
from services.auth.usecases.import_user import ImportUser
from services.auth.usecases.register import Register
from services.auth.usecases.send_otp import SendOtp
from services.auth.usecases.verify_otp import VerifyOtp
from services.kernel.rpc.call import Call
from services.kernel.sagas.idempotency import RequestKeys
from services.kernel.validation import Violations


@dataclass(frozen=True, slots=True, kw_only=True)
class SignUpServicer:
    """Registers people."""

    request_keys: RequestKeys
    limits: IpRateLimiter
    register: Register
    send_otp: SendOtp
    verify_otp: VerifyOtp
    import_user: ImportUser

    async def Register(
        self, request: auth_pb.RegisterRequest, call: Call
    ) -> auth_pb.RegisterResponse:
        """Register an account."""
        client_ip = await self.limits.hit(call)
        key = self.request_keys.of(call)
        details = read_registration(request, is_complete=True, language=language_of(call))
        made = await self.register(details, password=request.password, key=key, client_ip=client_ip)
        return auth_pb.RegisterResponse(
            user=registered_message(made.user),
            profile=made.profile,
            brand=made.brand,
            verification_flow_id=str(made.verification_flow_id or ""),
        )

    async def SendOtp(self, request: auth_pb.SendOtpRequest, call: Call) -> auth_pb.SendOtpResponse:
        """Start a sign-up by mailed code."""
        client_ip = await self.limits.hit(call)
        details = read_registration(request, is_complete=False, language=language_of(call))
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

    async def ImportUser(
        self, request: auth_pb.ImportUserRequest, call: Call
    ) -> auth_pb.ImportUserResponse:
        """Bring an account of another system here."""
        made = await self.import_user(
            read_import(request),
            password_hash=request.password_hash,
            is_verified=request.email_verified,
            actor=call.actor,
        )
        return auth_pb.ImportUserResponse(
            user=registered_message(made.user), profile=made.profile, brand=made.brand
        )
