"""AuthService: adds, uses and takes off second factors."""

from __future__ import annotations

from dataclasses import dataclass

from lockstep.auth.v1 import auth_service_pb2 as auth_pb

from services.auth.domain.ip_limits import IpRateLimiter, client_ip_of
from services.auth.domain.totp import Factor, is_recovery_code, is_totp_code
from services.auth.servicers.messages import (
    check_one,
    read_account,
    require,
    token_fields,
    user_message,
)
from services.auth.usecases.confirm_totp import ConfirmTotp
from services.auth.usecases.create_totp import CreateTotp
from services.auth.usecases.delete_totp import DeleteTotp
from services.auth.usecases.reset_mfa import ResetMfa
from services.auth.usecases.verify_mfa import VerifyMfa
from services.kernel.rpc.call import Call, UserPrincipal
from services.kernel.validation import Violations


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondFactorServicer:
    """Adds, uses and takes off second factors."""

    limits: IpRateLimiter
    create_totp: CreateTotp
    confirm_totp: ConfirmTotp
    delete_totp: DeleteTotp
    verify_mfa: VerifyMfa
    reset_mfa: ResetMfa

    async def VerifyMfa(
        self, request: auth_pb.VerifyMfaRequest, call: Call
    ) -> auth_pb.VerifyMfaResponse:
        """Open a session with the second factor."""
        client_ip = await self.limits.hit(call)
        with Violations() as v:
            require(v, request.mfa_token, "mfa_token")
            if check_one(v, request, "code", "recovery_code"):
                _check_factor(v, request)
        tokens = await self.verify_mfa(
            request.mfa_token, Factor(request.code, request.recovery_code), client_ip=client_ip
        )
        return auth_pb.VerifyMfaResponse(**token_fields(tokens))

    async def CreateTotp(
        self, request: auth_pb.CreateTotpRequest, call: Call
    ) -> auth_pb.CreateTotpResponse:
        """Make the seed of a second factor."""
        made = await self.create_totp(caller=call.user)
        return auth_pb.CreateTotpResponse(secret=made.secret, otpauth_uri=made.uri)

    async def ConfirmTotp(
        self, request: auth_pb.ConfirmTotpRequest, call: Call
    ) -> auth_pb.ConfirmTotpResponse:
        """Switch a second factor on."""
        with Violations() as v:
            _check_code(v, request.code)
        codes = await self.confirm_totp(
            request.code, caller=call.user, client_ip=client_ip_of(call)
        )
        return auth_pb.ConfirmTotpResponse(recovery_codes=codes)

    async def DeleteTotp(
        self, request: auth_pb.DeleteTotpRequest, call: Call
    ) -> auth_pb.DeleteTotpResponse:
        """Switch the caller's second factor off."""
        await self.delete_totp(caller=call.user, client_ip=client_ip_of(call))
        return auth_pb.DeleteTotpResponse()

    async def ResetMfa(self, request: auth_pb.ResetMfaRequest, call: Call) -> auth_pb.User:
        """Take the second factor off an account."""
        with Violations() as v:
            account = read_account(v, request)
        caller = call.principal if isinstance(call.principal, UserPrincipal) else None
        user = await self.reset_mfa(
            account, caller=caller, actor=call.actor, client_ip=client_ip_of(call)
        )
        return user_message(user)


def _check_factor(v: Violations, request: auth_pb.VerifyMfaRequest) -> None:
    if not request.recovery_code:
        _check_code(v, request.code)
    elif not is_recovery_code(request.recovery_code):
        v.add("recovery_code", "must be 24 letters and digits, as they were shown")


def _check_code(v: Violations, code: str) -> None:
    if not code.strip():
        v.add("code", "is required")
    elif not is_totp_code(code):
        v.add("code", "must be six digits")
