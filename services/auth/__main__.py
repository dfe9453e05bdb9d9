"""Auth's process: its composition and its place on the network."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from functools import partial

from grpc_health.v1 import health_pb2_grpc
from lockstep.commerce.v1 import order_service_pb2_grpc as order_grpc
from lockstep.profile.v1 import profile_service_pb2_grpc as profile_grpc

from services.auth import domain, sagas, store, usecases
from services.auth.servicers.api_keys import API_KEYS, ApiKeyServicer
from services.auth.servicers.auth import AUTH, AuthServicer
from services.auth.settings import AuthSettings
from services.common import service
from services.common.keys import SigningKeys
from services.common.parts import Composition, ServiceParts
from services.common.service import Frame, Running
from services.kernel.db import cleaner
from services.kernel.db.database import Observer
from services.kernel.sagas.engine import SagaEngine
from services.kernel.sagas.forward_only import ForwardOnlySagas
from services.kernel.sagas.requests import Requests
from services.kernel.sagas.servicer import SAGA, SagaServicer


def compose(
    parts: ServiceParts, settings: AuthSettings, *, signing_keys: SigningKeys, hasher: domain.Hasher
) -> Composition:
    """Put Auth together."""
    shared = domain.Collaborators.of(parts, settings, hasher, signing_keys)
    channel = parts.channel("profile")
    profiles = profile_grpc.ProfileServiceStub(channel)
    orders = order_grpc.OrderServiceStub(parts.channel("commerce"))
    engine = parts.saga_engine(
        sagas.RegistrationSaga(profiles, issue_code=shared.codes.issue_verification),
        *sagas.profile_status_sagas(profiles),
        sagas.AccountDeletionSaga(orders, profiles, forget_limits=shared.forget_limits),
    )
    remote = sagas.RemoteProfiles(profiles, health_pb2_grpc.HealthStub(channel))
    hasher.measure(parts.meter)
    mail_server = domain.MailServer(settings.smtp_url, sender=settings.mail_from)
    return Composition(
        servicers={
            AUTH: auth_servicer(parts, shared, engine, remote),
            API_KEYS: ApiKeyServicer.of(shared),
            SAGA: SagaServicer(parts.database, parts.page_tokens),
        },
        authentication=shared.authentication,
        cleanups=(cleaner.ENDED_SAGAS, cleaner.OLD_KEYS, *store.CLEANUPS),
        engine=engine,
        workers=domain.mail_workers(parts.background, shared.outbox, mail_server, parts.meter),
        closing=[hasher.close],
    )


def auth_servicer(
    parts: ServiceParts,
    shared: domain.Collaborators,
    engine: SagaEngine,
    profiles: sagas.RemoteProfiles,
) -> AuthServicer:
    """Put the use cases of AuthService together."""
    database, hasher, audit, codes = shared.database, shared.hasher, shared.audit, shared.codes
    proof, throttle, outbox = shared.reauthentication, shared.throttle, shared.outbox
    forward_only, requests = ForwardOnlySagas(database, engine), Requests(database, engine)
    registrations = usecases.Registrations(database, profiles)
    return AuthServicer(
        request_keys=parts.request_keys,
        limits=shared.ip_limits,
        register=usecases.Register(requests, registrations, hasher),
        send_otp=usecases.SendOtp(database, hasher, codes),
        verify_otp=usecases.VerifyOtp(requests, registrations, codes),
        login=usecases.Login(database, hasher, throttle, shared.issuer, audit),
        refresh_token=usecases.RefreshToken(database, shared.refresh_tokens, shared.issuer, audit),
        logout=usecases.Logout(database, audit),
        verify_email=usecases.VerifyEmail(codes, forward_only, outbox, audit, throttle),
        send_email_verification=usecases.SendEmailVerification(database, codes),
        change_email=usecases.ChangeEmail(database, proof, codes),
        request_password_reset=usecases.RequestPasswordReset(database, codes),
        reset_password=usecases.ResetPassword(hasher, codes, forward_only, throttle, outbox, audit),
        change_password=usecases.ChangePassword(database, hasher, proof, outbox, audit),
        check_session=usecases.CheckSession(database),
        get_jwks=usecases.GetJwks(shared.signing_keys),
        get_user=usecases.GetUser(database),
        list_users=usecases.ListUsers(database, parts.page_tokens),
        disable_user=usecases.DisableUser(database, forward_only, audit),
        enable_user=usecases.EnableUser(database, forward_only, audit),
        delete_user=usecases.DeleteUser(database, requests, audit),
        change_role=usecases.ChangeRole(database, audit),
        unlock_user=usecases.UnlockUser(database, throttle, codes, audit),
    )


def running(
    settings: AuthSettings, *, listen_on: str | None = None, observer: Observer | None = None
) -> AbstractAsyncContextManager[Running]:
    """Run Auth until the context ends; see `common.service.running`."""
    frame = Frame(
        name="auth",
        database_url=settings.auth_database_url,
        port=settings.auth_port,
        targets={"profile": settings.profile_address, "commerce": settings.commerce_address},
        is_coordinator=True,
    )
    domain.adopt(settings.reserved_domains, settings.password_words)
    keys, hasher = SigningKeys.load(settings.keys), domain.Hasher(settings.bcrypt_cost)
    composed = partial(compose, settings=settings, signing_keys=keys, hasher=hasher)
    return service.running(frame, settings, composed, listen_on=listen_on, observer=observer)


def main() -> None:
    """Run the process."""
    service.run("auth", AuthSettings, running)


if __name__ == "__main__":
    main()
