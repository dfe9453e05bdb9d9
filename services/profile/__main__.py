"""Profile's process: the only place where its parts are put together."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from lockstep.auth.v1 import auth_service_pb2_grpc as auth_grpc
from lockstep.profile.v1 import profile_service_pb2 as profile_pb
from lockstep.profile.v1 import wallet_service_pb2 as wallet_pb
from lockstep_clients import ServiceIdentity, connect

from services.common.auth_client import RemoteKeys, RemoteSessions
from services.common.keys import KeyRing
from services.common.service import PROXIES, database_probe, opened, run
from services.kernel.db import cleaner
from services.kernel.db.cleaner import Cleaner
from services.kernel.db.database import Database, Observer
from services.kernel.paging import PageTokens
from services.kernel.rpc.access import Access
from services.kernel.rpc.server import Server
from services.kernel.rpc.tracing import TraceInterceptor
from services.kernel.sagas.idempotency import RequestKeys
from services.profile.servicers.profile import ProfileServicer
from services.profile.servicers.wallet import WalletServicer
from services.profile.settings import ProfileSettings
from services.profile.store import transfers
from services.profile.usecases.cancel_profile import CancelProfile
from services.profile.usecases.create_profile import CreateProfile
from services.profile.usecases.debit_wallet import DebitWallet
from services.profile.usecases.forget_profile import ForgetProfile
from services.profile.usecases.get_brand import GetBrand
from services.profile.usecases.get_profile import GetProfile
from services.profile.usecases.get_wallet import GetWallet
from services.profile.usecases.list_profiles import ListProfiles
from services.profile.usecases.list_wallet_transfers import ListWalletTransfers
from services.profile.usecases.phone_exists import PhoneExists
from services.profile.usecases.refund_wallet import RefundWallet
from services.profile.usecases.set_profile_status import SetProfileStatus
from services.profile.usecases.top_up_wallet import TopUpWallet
from services.profile.usecases.update_brand import UpdateBrand
from services.profile.usecases.update_profile import UpdateProfile
from services.profile.usecases.void_transfer import VoidTransfer


@dataclass(frozen=True, slots=True)
class Running:
    """A Profile that is running."""

    port: int
    database: Database


@contextlib.asynccontextmanager
async def running(
    settings: ProfileSettings, *, address: str | None = None, observer: Observer | None = None
) -> AsyncIterator[Running]:
    """Run Profile until the context ends, then stop it in order.

    Args:
        settings: What it is told.
        address: Where to listen, instead of where the settings say.
        observer: See `Database`.
    """
    keys = KeyRing.load(settings.keys, "profile")
    database = Database(
        settings.profile_database_url,
        name="profile",
        connections=settings.database_connections,
        observer=observer,
    )
    identity = ServiceIdentity("profile", keys.private_key)
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(opened(database))
        auth = auth_grpc.AuthServiceStub(
            await stack.enter_async_context(
                connect(settings.auth_address, identity=identity, interceptors=[TraceInterceptor()])
            )
        )
        server = Server(
            [
                (
                    profile_pb.DESCRIPTOR.services_by_name["ProfileService"],
                    profile_servicer(database, keys),
                ),
                (
                    wallet_pb.DESCRIPTOR.services_by_name["WalletService"],
                    wallet_servicer(database, keys, currency=settings.currency),
                ),
            ],
            access=Access(
                service="profile",
                keys=RemoteKeys(auth),
                sessions=RemoteSessions(auth),
                trusted=keys.trusted,
                proxies=PROXIES,
            ),
            probe=database_probe(database),
        )
        cleaning = Cleaner(
            database, [cleaner.OLD_BARRIERS, cleaner.OLD_KEYS, transfers.OLD_TOMBSTONES]
        )
        cleaning.start()
        stack.push_async_callback(cleaning.stop)
        port = await server.start(address or f"{settings.host}:{settings.profile_port}")
        stack.push_async_callback(server.stop, settings.stop_grace_seconds)
        yield Running(port=port, database=database)


def profile_servicer(database: Database, keys: KeyRing) -> ProfileServicer:
    """Put the use cases of ProfileService together."""
    return ProfileServicer(
        create_profile=CreateProfile(database),
        cancel_profile=CancelProfile(database),
        phone_exists=PhoneExists(database),
        get_profile=GetProfile(database),
        update_profile=UpdateProfile(database),
        list_profiles=ListProfiles(database, PageTokens(keys.secret)),
        set_profile_status=SetProfileStatus(database),
        forget_profile=ForgetProfile(database),
        get_brand=GetBrand(database),
        update_brand=UpdateBrand(database),
    )


def wallet_servicer(database: Database, keys: KeyRing, *, currency: str) -> WalletServicer:
    """Put the use cases of WalletService together."""
    return WalletServicer(
        currency=currency,
        request_keys=RequestKeys(keys.secret),
        get_wallet=GetWallet(database),
        list_wallet_transfers=ListWalletTransfers(database, PageTokens(keys.secret)),
        top_up_wallet=TopUpWallet(database),
        debit_wallet=DebitWallet(database),
        void_transfer=VoidTransfer(database),
        refund_wallet=RefundWallet(database),
    )


def main() -> None:
    """Run the process."""
    run("profile", ProfileSettings, running)


if __name__ == "__main__":
    main()
