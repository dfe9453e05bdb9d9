"""AuthService: opens, renews, checks and ends sessions."""

from __future__ import annotations

from dataclasses import dataclass

from lockstep.auth.v1 import auth_service_pb2 as auth_pb

from services.auth.domain.challenges import Challenge
from services.auth.domain.emails import comparable_form
from services.auth.domain.ip_limits import IpRateLimiter, client_ip_of
from services.auth.domain.languages import language_of
from services.auth.domain.sessions import CLIENT_NAME_MAX
from services.auth.servicers.messages import (
    challenge_fields,
    require,
    session_message,
    token_fields,
)
from services.auth.store.sessions import SessionClient
from services.auth.usecases.check_session import CheckSession
from services.auth.usecases.end_session import EndSession
from services.auth.usecases.end_sessions import EndSessions
from services.auth.usecases.get_jwks import GetJwks
from services.auth.usecases.list_sessions import ListSessions
from services.auth.usecases.login import Login
from services.auth.usecases.logout import Logout
from services.auth.usecases.reauthenticate import Reauthenticate
from services.auth.usecases.refresh_token import RefreshToken
from services.kernel.rpc.call import Call
from services.kernel.validation import Violations


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionServicer:
    """Opens, renews, checks and ends sessions."""

    limits: IpRateLimiter
    login: Login
    refresh_token: RefreshToken
    logout: Logout
    reauthenticate: Reauthenticate
    list_sessions: ListSessions
    end_session: EndSession
    end_sessions: EndSessions
    check_session: CheckSession
    get_jwks: GetJwks

    async def Login(self, request: auth_pb.LoginRequest, call: Call) -> auth_pb.LoginResponse:
        """Open a session."""
        client_ip = await self.limits.hit(call)
        with Violations() as v:
            require(v, request.email.strip(), "email")
            require(v, request.password, "password")
            name = v.text(request.client_name, "client_name", max_length=CLIENT_NAME_MAX)
        opened = await self.login(
            email=comparable_form(request.email),
            password=request.password,
            client=SessionClient(name, client_ip, language_of(call)),
        )
        if isinstance(opened, Challenge):
            return auth_pb.LoginResponse(**challenge_fields(opened))
        return auth_pb.LoginResponse(**token_fields(opened))

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

    async def Reauthenticate(
        self, request: auth_pb.ReauthenticateRequest, call: Call
    ) -> auth_pb.ReauthenticateResponse:
        """Open a fresh session in the place of the caller's."""
        with Violations() as v:
            require(v, request.password, "password")
        opened = await self.reauthenticate(
            caller=call.user, password=request.password, client_ip=client_ip_of(call)
        )
        if isinstance(opened, Challenge):
            return auth_pb.ReauthenticateResponse(**challenge_fields(opened))
        return auth_pb.ReauthenticateResponse(**token_fields(opened))

    async def ListSessions(
        self, request: auth_pb.ListSessionsRequest, call: Call
    ) -> auth_pb.ListSessionsResponse:
        """List the sessions of a user."""
        with Violations() as v:
            user_id = v.user_id(request.user_id, "user_id", me=call.caller.own_id)
        sessions = await self.list_sessions(caller=call.caller, user_id=user_id)
        own = call.caller.own_session_id
        return auth_pb.ListSessionsResponse(
            sessions=[session_message(each, is_current=each.id == own) for each in sessions]
        )

    async def EndSession(
        self, request: auth_pb.EndSessionRequest, call: Call
    ) -> auth_pb.EndSessionResponse:
        """End one session of a user."""
        with Violations() as v:
            user_id = v.user_id(request.user_id, "user_id", me=call.caller.own_id)
            session_id = v.uuid(request.session_id, "session_id")
        await self.end_session(
            caller=call.caller, user_id=user_id, session_id=session_id, client_ip=client_ip_of(call)
        )
        return auth_pb.EndSessionResponse()

    async def EndSessions(
        self, request: auth_pb.EndSessionsRequest, call: Call
    ) -> auth_pb.EndSessionsResponse:
        """End the sessions of a user, but the caller's own."""
        with Violations() as v:
            user_id = v.user_id(request.user_id, "user_id", me=call.caller.own_id)
        await self.end_sessions(caller=call.caller, user_id=user_id, client_ip=client_ip_of(call))
        return auth_pb.EndSessionsResponse()

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
            active=True,
            role=session.role,
            user_id=str(session.user_id),
            mfa_missing=session.lacks_mfa,
        )

    async def GetJwks(self, request: auth_pb.GetJwksRequest, call: Call) -> auth_pb.GetJwksResponse:
        """Publish the public keys."""
        keys = await self.get_jwks()
        return auth_pb.GetJwksResponse(keys=[auth_pb.Jwk(**key) for key in keys])
