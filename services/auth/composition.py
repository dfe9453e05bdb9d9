"""The servicer of AuthService, put together from its parts."""

from __future__ import annotations

from lockstep.auth.v1 import auth_service_pb2 as auth_pb

from services.auth import domain, sagas, usecases
from services.auth.servicers.credentials import CredentialServicer
from services.auth.servicers.second_factors import SecondFactorServicer
from services.auth.servicers.sessions import SessionServicer
from services.auth.servicers.sign_up import SignUpServicer
from services.auth.servicers.users import UserServicer
from services.common.parts import ServiceParts
from services.kernel.rpc.joined import JoinedServicer
from services.kernel.sagas.engine import SagaEngine
from services.kernel.sagas.forward_only import ForwardOnlySagas
from services.kernel.sagas.requests import Requests

AUTH = auth_pb.DESCRIPTOR.services_by_name["AuthService"]


def auth_servicer(
    parts: ServiceParts,
    shared: domain.Collaborators,
    engine: SagaEngine,
    profiles: sagas.RemoteProfiles,
) -> JoinedServicer:
    """Put the use cases of AuthService together."""
    forward_only = ForwardOnlySagas(shared.database, engine)
    requests = Requests(shared.database, engine)
    return JoinedServicer(
        _sign_up(parts, shared, requests, profiles),
        _sessions(shared),
        _credentials(shared, forward_only),
        _second_factors(shared),
        _users(parts, shared, forward_only, requests, profiles),
    )


def _sign_up(
    parts: ServiceParts,
    shared: domain.Collaborators,
    requests: Requests,
    profiles: sagas.RemoteProfiles,
) -> SignUpServicer:
    registrations = usecases.Registrations(shared.database, profiles, shared.audit)
    return SignUpServicer(
        request_keys=parts.request_keys,
        limits=shared.ip_limits,
        register=usecases.Register(requests, registrations, shared.hasher),
        send_otp=usecases.SendOtp(shared.database, shared.hasher, shared.codes),
        verify_otp=usecases.VerifyOtp(requests, registrations, shared.codes),
        import_user=usecases.ImportUser(requests, registrations),
    )


def _sessions(shared: domain.Collaborators) -> SessionServicer:
    database, audit, issuer = shared.database, shared.audit, shared.issuer
    proof = shared.reauthentication
    return SessionServicer(
        limits=shared.ip_limits,
        login=usecases.Login(database, shared.hasher, shared.throttle, issuer, audit),
        refresh_token=usecases.RefreshToken(database, shared.refresh_tokens, issuer, audit),
        logout=usecases.Logout(database, audit),
        reauthenticate=usecases.Reauthenticate(database, proof, issuer, audit),
        list_sessions=usecases.ListSessions(database),
        end_session=usecases.EndSession(database, audit),
        end_sessions=usecases.EndSessions(database, audit),
        check_session=usecases.CheckSession(shared.local_sessions),
        get_jwks=usecases.GetJwks(shared.signing_keys),
    )


def _credentials(
    shared: domain.Collaborators, forward_only: ForwardOnlySagas
) -> CredentialServicer:
    database, hasher, audit, codes = shared.database, shared.hasher, shared.audit, shared.codes
    proof, throttle, outbox = shared.reauthentication, shared.throttle, shared.outbox
    return CredentialServicer(
        limits=shared.ip_limits,
        verify_email=usecases.VerifyEmail(codes, forward_only, outbox, audit, throttle),
        send_email_verification=usecases.SendEmailVerification(database, codes),
        change_email=usecases.ChangeEmail(database, proof, codes),
        request_password_reset=usecases.RequestPasswordReset(database, codes),
        reset_password=usecases.ResetPassword(hasher, codes, forward_only, throttle, outbox, audit),
        change_password=usecases.ChangePassword(database, hasher, proof, outbox, audit),
    )


def _second_factors(shared: domain.Collaborators) -> SecondFactorServicer:
    database, factors, audit = shared.database, shared.factors, shared.audit
    issuer, outbox = shared.issuer, shared.outbox
    return SecondFactorServicer(
        limits=shared.ip_limits,
        create_totp=usecases.CreateTotp(database, factors),
        confirm_totp=usecases.ConfirmTotp(database, factors, outbox, audit),
        delete_totp=usecases.DeleteTotp(database, factors, outbox, audit),
        verify_mfa=usecases.VerifyMfa(database, factors, shared.throttle, issuer, outbox, audit),
        reset_mfa=usecases.ResetMfa(database, factors, outbox, audit),
    )


def _users(
    parts: ServiceParts,
    shared: domain.Collaborators,
    forward_only: ForwardOnlySagas,
    requests: Requests,
    profiles: sagas.RemoteProfiles,
) -> UserServicer:
    database, audit = shared.database, shared.audit
    return UserServicer(
        get_user=usecases.GetUser(database),
        list_users=usecases.ListUsers(database, parts.page_tokens),
        disable_user=usecases.DisableUser(database, forward_only, audit),
        enable_user=usecases.EnableUser(database, forward_only, audit),
        delete_user=usecases.DeleteUser(database, requests, audit, profiles.holdings),
        change_role=usecases.ChangeRole(database, audit),
        resend_code=usecases.ResendCode(database, shared.codes, audit),
        get_user_access=usecases.GetUserAccess(
            database, shared.throttle, shared.codes, shared.outbox
        ),
        unlock_user=usecases.UnlockUser(database, shared.throttle, shared.codes, audit),
    )
