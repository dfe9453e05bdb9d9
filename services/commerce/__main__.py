"""Commerce's process: its composition and its place on the network."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from functools import partial

from lockstep.profile.v1 import wallet_service_pb2_grpc as wallet_grpc

from services.commerce import events, sagas, store
from services.commerce.composition import cart_servicer, catalog_servicer, order_servicer
from services.commerce.domain.word_collector import WordCollector
from services.commerce.servicers.cart import CART
from services.commerce.servicers.catalog import CATALOG
from services.commerce.servicers.messages import Messages
from services.commerce.servicers.order import ORDER
from services.commerce.settings import SESSION_SETTINGS, CommerceSettings
from services.common import service
from services.common.auth_client import remote_authentication
from services.common.parts import Composition, ServiceParts
from services.common.service import Frame, Running
from services.kernel.db.database import Observer
from services.kernel.sagas.requests import Requests
from services.kernel.sagas.servicer import SAGA, SagaServicer


def compose(parts: ServiceParts, *, commission_bps: int) -> Composition:
    """Put Commerce together."""
    wallets = wallet_grpc.WalletServiceStub(parts.channel("profile"))
    engine = parts.saga_engine(*sagas.all_sagas(wallets, parts.currency))
    messages, requests = Messages(parts.currency), Requests(parts.database, engine)
    return Composition(
        servicers={
            events.SERVICE: events.servicer(parts.database),
            CATALOG: catalog_servicer(parts, messages),
            CART: cart_servicer(parts, messages),
            ORDER: order_servicer(parts, messages, requests, commission_bps),
            SAGA: SagaServicer(parts.database, parts.page_tokens),
        },
        authentication=remote_authentication(parts.channel("auth")),
        cleanups=store.CLEANUPS,
        engine=engine,
        workers=[WordCollector(parts.background)],
    )


def running(
    settings: CommerceSettings, *, listen_on: str | None = None, observer: Observer | None = None
) -> AbstractAsyncContextManager[Running]:
    """Run Commerce until the context ends; see `common.service.running`."""
    frame = Frame(
        name="commerce",
        database_url=settings.commerce_database_url,
        session_settings=SESSION_SETTINGS,
        port=settings.commerce_port,
        targets={"auth": settings.auth_address, "profile": settings.profile_address},
        is_coordinator=True,
        has_public_reads=True,
        standby=settings.standby,
        ledger=store.MONEY,
    )
    composed = partial(compose, commission_bps=settings.commission_bps)
    return service.running(frame, settings, composed, listen_on=listen_on, observer=observer)


def main() -> None:
    """Run the process."""
    service.run("commerce", CommerceSettings, running)


if __name__ == "__main__":
    main()
