"""Profile's process: its composition and its place on the network."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from services.common import service
from services.common.auth_client import remote_authentication
from services.common.parts import Composition, ServiceParts
from services.common.service import Frame, Running
from services.kernel.db.database import Observer
from services.profile import events, store, usecases
from services.profile.servicers.profile import PROFILE, ProfileServicer
from services.profile.servicers.wallet import WALLET, WalletServicer
from services.profile.settings import ProfileSettings


def compose(parts: ServiceParts) -> Composition:
    """Put Profile together."""
    return Composition(
        servicers={
            PROFILE: profile_servicer(parts),
            WALLET: wallet_servicer(parts),
            events.SERVICE: events.servicer(parts.database),
        },
        authentication=remote_authentication(parts.channel("auth")),
        cleanups=store.CLEANUPS,
    )


def profile_servicer(parts: ServiceParts) -> ProfileServicer:
    """Put the use cases of ProfileService together."""
    database = parts.database
    return ProfileServicer(
        currency=parts.currency,
        get_holdings=usecases.GetHoldings(database),
        create_profile=usecases.CreateProfile(database),
        cancel_profile=usecases.CancelProfile(database),
        phone_exists=usecases.PhoneExists(database),
        get_profile=usecases.GetProfile(database),
        update_profile=usecases.UpdateProfile(database),
        list_profiles=usecases.ListProfiles(database, parts.page_tokens),
        set_profile_status=usecases.SetProfileStatus(database),
        forget_profile=usecases.ForgetProfile(database),
        get_brand=usecases.GetBrand(database),
        batch_get_brands=usecases.BatchGetBrands(database),
        update_brand=usecases.UpdateBrand(database),
    )


def wallet_servicer(parts: ServiceParts) -> WalletServicer:
    """Put the use cases of WalletService together."""
    database = parts.database
    return WalletServicer(
        currency=parts.currency,
        request_keys=parts.request_keys,
        get_wallet=usecases.GetWallet(database),
        list_wallet_transfers=usecases.ListWalletTransfers(database, parts.page_tokens),
        top_up_wallet=usecases.TopUpWallet(database),
        debit_wallet=usecases.DebitWallet(database),
        void_transfer=usecases.VoidTransfer(database),
        refund_wallet=usecases.RefundWallet(database),
        release_sales=usecases.ReleaseSales(database),
        reverse_transfer=usecases.ReverseTransfer(database),
    )


def running(
    settings: ProfileSettings, *, listen_on: str | None = None, observer: Observer | None = None
) -> AbstractAsyncContextManager[Running]:
    """Run Profile until the context ends; see `common.service.running`."""
    frame = Frame(
        name="profile",
        database_url=settings.profile_database_url,
        port=settings.profile_port,
        targets={"auth": settings.auth_address},
        ledger=store.MONEY,
    )
    return service.running(frame, settings, compose, listen_on=listen_on, observer=observer)


def main() -> None:
    """Run the process."""
    service.run("profile", ProfileSettings, running)


if __name__ == "__main__":
    main()
