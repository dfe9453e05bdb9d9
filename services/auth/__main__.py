"""Auth's process: the only place where its parts are put together."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass

import uvloop
from grpc_health.v1 import health_pb2_grpc
from lockstep.auth.v1 import auth_service_pb2 as auth_pb
from lockstep.profile.v1 import profile_service_pb2_grpc as profile_grpc
from lockstep.saga.v1 import saga_service_pb2 as saga_pb
from lockstep_clients import ServiceIdentity, connect

from services.auth._unfinished import issue_code
from services.auth.addresses import AddressLimits
from services.auth.attempts import Attempts
from services.auth.audit import Audit
from services.auth.passwords import Hasher
from services.auth.profiles import RemoteProfiles
from services.auth.sagas.registration import RegistrationSaga
from services.auth.servicer import AuthServicer
from services.auth.sessions import Sessions
from services.auth.settings import AuthSettings
from services.auth.store import audit, credentials, sessions
from services.auth.tokens import AccessTokens, LocalKeys, RefreshTokens
from services.auth.usecases.check_session import CheckSession
from services.auth.usecases.get_jwks import GetJwks
from services.auth.usecases.get_user import GetUser
from services.auth.usecases.login import Login
from services.auth.usecases.logout import Logout
from services.auth.usecases.refresh_token import RefreshToken
from services.auth.usecases.register import Register
from services.kernel import janitor
from services.kernel.access import Access
from services.kernel.database import Database, Observer
from services.kernel.idempotency import RequestKeys
from services.kernel.janitor import Janitor
from services.kernel.keys import KeyRing, TokenKeys
from services.kernel.logging import configure
from services.kernel.paging import PageTokens
from services.kernel.saga import SagaEngine
from services.kernel.saga_servicer import SagaServicer
from services.kernel.server import Server, database_probe, opened, until_stopped
from services.kernel.settings import load

SWEEPS = (
    janitor.ENDED_SAGAS,
    janitor.OLD_KEYS,
    sessions.EXPIRED,
    credentials.OLD_FAILURES,
    audit.OLD,
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
    token_keys = TokenKeys.load(settings.keys)
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
        channel = await stack.enter_async_context(
            connect(
                settings.profile_address,
                identity=ServiceIdentity("auth", keys.private_key),
                audience="profile",
            )
        )
        profile_stub = profile_grpc.ProfileServiceStub(channel)
        profiles = RemoteProfiles(profile_stub, health_pb2_grpc.HealthStub(channel))
        engine = SagaEngine(
            database,
            recovery=recovery,
            definitions=[RegistrationSaga(profile_stub, issue_code=issue_code)],
            owner=f"auth@{socket.gethostname()}:{os.getpid()}",
        )
        auditor = Audit(keys.secret)
        attempts = Attempts(database, keys.secret, auditor)
        refresh_tokens = RefreshTokens(keys.secret)
        opener = Sessions(AccessTokens(token_keys), refresh_tokens)
        servicer = AuthServicer(
            request_keys=RequestKeys(keys.secret),
            limits=AddressLimits(enabled=settings.address_limits),
            register=Register(database, engine, profiles, hasher),
            login=Login(database, hasher, attempts, opener, auditor),
            refresh_token=RefreshToken(database, refresh_tokens, opener, auditor),
            logout=Logout(database, auditor),
            check_session=CheckSession(database),
            get_jwks=GetJwks(token_keys),
            get_user=GetUser(database),
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
            ),
            probe=database_probe(database),
        )
        engine.start()
        stack.push_async_callback(engine.stop)
        sweeper = Janitor(recovery, SWEEPS)
        sweeper.start()
        stack.push_async_callback(sweeper.stop)
        port = await server.start(address or f"{settings.host}:{settings.auth_port}")
        stack.push_async_callback(server.stop)
        yield Running(port=port, database=database, engine=engine)


async def serve() -> None:
    """Run until SIGTERM or SIGINT."""
    settings = load(AuthSettings)
    configure(service="auth", level=settings.log_level, form=settings.log_format)
    async with running(settings):
        await until_stopped()


def main() -> None:
    """Run the process."""
    uvloop.run(serve())


if __name__ == "__main__":
    main()
