"""Auth's process: the only place where its parts are put together."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass

from grpc_health.v1 import health_pb2_grpc
from lockstep.auth.v1 import auth_service_pb2 as auth_pb
from lockstep.commerce.v1 import order_service_pb2_grpc as order_grpc
from lockstep.profile.v1 import profile_service_pb2_grpc as profile_grpc
from lockstep.saga.v1 import saga_service_pb2 as saga_pb
from lockstep_clients import ServiceIdentity, connect

from services.auth.domain.audit import Audit
from services.auth.domain.codes import Codes
from services.auth.domain.ip_limits import IpRateLimiter
from services.auth.domain.login_throttle import LoginThrottle
from services.auth.domain.outbox import MailServer, Outbox, OutboxWorker
from services.auth.domain.passwords import Hasher
from services.auth.domain.reauthentication import Reauthentication
from services.auth.domain.sessions import SessionIssuer
from services.auth.domain.tokens import AccessTokenSigner, LocalKeys, RefreshTokens
from services.auth.sagas.account_deletion import AccountDeletionSaga
from services.auth.sagas.profile_status import KINDS, ProfileStatusSaga
from services.auth.sagas.profiles import RemoteProfiles
from services.auth.sagas.registration import RegistrationSaga
from services.auth.servicers.auth import AuthServicer
from services.auth.settings import AuthSettings
from services.auth.store import audit as audit_store
from services.auth.store import codes as code_store
from services.auth.store import credentials, sessions
from services.auth.usecases.change_email import ChangeEmail
from services.auth.usecases.change_password import ChangePassword
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
from services.auth.usecases.verify_email import VerifyEmail
from services.auth.usecases.verify_otp import VerifyOtp
from services.common.keys import KeyRing, SigningKeys
from services.common.service import PROXIES, database_probe, opened, run
from services.kernel.db import cleaner
from services.kernel.db.cleaner import Cleaner
from services.kernel.db.database import Database, Observer
from services.kernel.paging import PageTokens
from services.kernel.rpc.access import Access
from services.kernel.rpc.server import Server
from services.kernel.rpc.tracing import TraceInterceptor
from services.kernel.sagas.engine import SagaEngine
from services.kernel.sagas.forward_only import ForwardOnlySagas
from services.kernel.sagas.idempotency import RequestKeys
from services.kernel.sagas.servicer import SagaServicer

CLEANUPS = (
    cleaner.ENDED_SAGAS,
    cleaner.OLD_KEYS,
    sessions.EXPIRED,
    credentials.OLD_FAILURES,
    code_store.OLD,
    code_store.OLD_LIMITS,
    audit_store.OLD,
)


@dataclass(frozen=True, slots=True)
class Running:
    """An Auth that is running."""

    port: int
    database: Database
    engine: SagaEngine


@contextlib.asynccontextmanager
async def running(
    settings: AuthSettings, *, address: str | None = None, observer: Observer | None = None
) -> AsyncIterator[Running]:
    """Run Auth until the context ends, then stop it in order.

    Args:
        settings: What it is told.
        address: Where to listen, instead of where the settings say.
        observer: See `Database`.
    """
    keys = KeyRing.load(settings.keys, "auth")
    token_keys = SigningKeys.load(settings.keys)
    database = Database(
        settings.auth_database_url,
        name="auth",
        connections=settings.database_connections,
        observer=observer,
    )
    recovery = Database(settings.auth_database_url, name="auth", connections=3, observer=observer)
    hasher = Hasher(settings.bcrypt_cost)
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(hasher.close)
        await stack.enter_async_context(opened(database, recovery))
        profile, commerce = [
            await stack.enter_async_context(
                connect(
                    target,
                    identity=ServiceIdentity("auth", keys.private_key),
                    audience=name,
                    interceptors=[TraceInterceptor()],
                )
            )
            for name, target in (
                ("profile", settings.profile_address),
                ("commerce", settings.commerce_address),
            )
        ]
        profiles = profile_grpc.ProfileServiceStub(profile)
        outbox = Outbox(keys.secret)
        codes = Codes(database, keys.secret, outbox)
        engine = SagaEngine(
            database,
            recovery=recovery,
            definitions=[
                RegistrationSaga(profiles, issue_code=codes.issue_verification),
                *(ProfileStatusSaga(kind, database, profiles) for kind in KINDS),
                AccountDeletionSaga(database, order_grpc.OrderServiceStub(commerce), profiles),
            ],
            owner=f"auth@{socket.gethostname()}:{os.getpid()}",
        )
        servicer = _servicer(
            settings,
            keys=keys,
            token_keys=token_keys,
            database=database,
            engine=engine,
            hasher=hasher,
            profiles=RemoteProfiles(profiles, health_pb2_grpc.HealthStub(profile)),
            codes=codes,
            outbox=outbox,
        )
        server = Server(
            [
                (auth_pb.DESCRIPTOR.services_by_name["AuthService"], servicer),
                (
                    saga_pb.DESCRIPTOR.services_by_name["SagaService"],
                    SagaServicer(database, PageTokens(keys.secret)),
                ),
            ],
            access=Access(
                service="auth",
                keys=LocalKeys(token_keys),
                sessions=sessions.LocalSessions(database),
                trusted=keys.trusted,
                proxies=PROXIES,
            ),
            probe=database_probe(database),
        )
        engine.start()
        stack.push_async_callback(engine.stop)
        sender = OutboxWorker(
            recovery, outbox, MailServer(settings.smtp_url, sender=settings.mail_from)
        )
        sender.start()
        stack.push_async_callback(sender.stop)
        cleaning = Cleaner(recovery, CLEANUPS)
        cleaning.start()
        stack.push_async_callback(cleaning.stop)
        port = await server.start(address or f"{settings.host}:{settings.auth_port}")
        stack.push_async_callback(server.stop, settings.stop_grace_seconds)
        yield Running(port=port, database=database, engine=engine)


def _servicer(
    settings: AuthSettings,
    *,
    keys: KeyRing,
    token_keys: SigningKeys,
    database: Database,
    engine: SagaEngine,
    hasher: Hasher,
    profiles: RemoteProfiles,
    codes: Codes,
    outbox: Outbox,
) -> AuthServicer:
    audit = Audit(keys.secret)
    throttle = LoginThrottle(database, keys.secret, audit)
    proof = Reauthentication(database, hasher, throttle)
    refresh_tokens = RefreshTokens(keys.secret)
    opener = SessionIssuer(AccessTokenSigner(token_keys), refresh_tokens)
    forward_only = ForwardOnlySagas(database, engine)
    register = Register(database, engine, profiles, hasher)
    return AuthServicer(
        request_keys=RequestKeys(keys.secret),
        limits=IpRateLimiter(enabled=settings.address_limits),
        register=register,
        send_otp=SendOtp(database, hasher, codes),
        verify_otp=VerifyOtp(database, engine, codes, register),
        login=Login(database, hasher, throttle, opener, audit),
        refresh_token=RefreshToken(database, refresh_tokens, opener, audit),
        logout=Logout(database, audit),
        verify_email=VerifyEmail(codes, forward_only, outbox, audit),
        send_email_verification=SendEmailVerification(database, codes),
        change_email=ChangeEmail(database, proof, throttle, codes),
        request_password_reset=RequestPasswordReset(database, codes),
        reset_password=ResetPassword(
            database=database,
            hasher=hasher,
            codes=codes,
            throttle=throttle,
            outbox=outbox,
            audit=audit,
        ),
        change_password=ChangePassword(
            database=database,
            hasher=hasher,
            proof=proof,
            throttle=throttle,
            outbox=outbox,
            audit=audit,
        ),
        check_session=CheckSession(database),
        get_jwks=GetJwks(token_keys),
        get_user=GetUser(database),
        list_users=ListUsers(database, PageTokens(keys.secret)),
        disable_user=DisableUser(database, forward_only, audit),
        enable_user=EnableUser(database, forward_only, audit),
        delete_user=DeleteUser(database, engine, audit),
    )


def main() -> None:
    """Run the process."""
    run("auth", AuthSettings, running)


if __name__ == "__main__":
    main()
