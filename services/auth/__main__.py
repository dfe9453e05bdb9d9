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

from services.auth._unfinished import access, issue_code
from services.auth.passwords import Hasher
from services.auth.profiles import RemoteProfiles
from services.auth.sagas.registration import RegistrationSaga
from services.auth.servicer import AuthServicer
from services.auth.settings import AuthSettings
from services.auth.usecases.get_user import GetUser
from services.auth.usecases.register import Register
from services.kernel import janitor
from services.kernel.database import Database, Observer
from services.kernel.idempotency import RequestKeys
from services.kernel.janitor import Janitor
from services.kernel.keys import KeyRing
from services.kernel.logging import configure
from services.kernel.paging import PageTokens
from services.kernel.saga import SagaEngine
from services.kernel.saga_servicer import SagaServicer
from services.kernel.server import Server, database_probe, opened, until_stopped
from services.kernel.settings import load


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
            connect(settings.profile_address, identity=ServiceIdentity("auth", keys.private_key))
        )
        profile_stub = profile_grpc.ProfileServiceStub(channel)
        profiles = RemoteProfiles(profile_stub, health_pb2_grpc.HealthStub(channel))
        engine = SagaEngine(
            database,
            recovery=recovery,
            definitions=[RegistrationSaga(profile_stub, issue_code=issue_code)],
            owner=f"auth@{socket.gethostname()}:{os.getpid()}",
        )
        servicer = AuthServicer(
            request_keys=RequestKeys(keys.secret),
            register=Register(database, engine, profiles, hasher),
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
            access=access(keys),
            probe=database_probe(database),
        )
        engine.start()
        stack.push_async_callback(engine.stop)
        sweeper = Janitor(recovery, [janitor.ENDED_SAGAS, janitor.OLD_KEYS])
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
