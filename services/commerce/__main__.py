"""Commerce's process: the only place where its parts are put together."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass

from lockstep.auth.v1 import auth_service_pb2_grpc as auth_grpc
from lockstep.commerce.v1 import cart_service_pb2 as cart_pb
from lockstep.commerce.v1 import catalog_service_pb2 as catalog_pb
from lockstep.commerce.v1 import order_service_pb2 as order_pb
from lockstep.profile.v1 import wallet_service_pb2_grpc as wallet_grpc
from lockstep.saga.v1 import saga_service_pb2 as saga_pb
from lockstep_clients import ServiceIdentity, connect

from services.commerce.domain.totals import Totals
from services.commerce.sagas.cancellation import CancellationSaga
from services.commerce.sagas.checkout import CheckoutSaga
from services.commerce.servicers.cart import CartServicer
from services.commerce.servicers.catalog import CatalogServicer
from services.commerce.servicers.messages import Messages
from services.commerce.servicers.order import OrderServicer
from services.commerce.settings import CommerceSettings
from services.commerce.store import users
from services.commerce.usecases.add_cart_item import AddCartItem
from services.commerce.usecases.batch_create_products import BatchCreateProducts
from services.commerce.usecases.cancel_order import CancelOrder
from services.commerce.usecases.clear_cart import ClearCart
from services.commerce.usecases.create_category import CreateCategory
from services.commerce.usecases.create_product import CreateProduct
from services.commerce.usecases.delete_product import DeleteProduct
from services.commerce.usecases.forget_user import ForgetUser
from services.commerce.usecases.get_cart import GetCart
from services.commerce.usecases.get_order import GetOrder
from services.commerce.usecases.get_product import GetProduct
from services.commerce.usecases.list_categories import ListCategories
from services.commerce.usecases.list_orders import ListOrders
from services.commerce.usecases.list_products import ListProducts
from services.commerce.usecases.place_order import PlaceOrder
from services.commerce.usecases.remove_cart_item import RemoveCartItem
from services.commerce.usecases.update_cart_item import UpdateCartItem
from services.commerce.usecases.update_product import UpdateProduct
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
from services.kernel.sagas.engine import SagaEngine
from services.kernel.sagas.idempotency import RequestKeys
from services.kernel.sagas.servicer import SagaServicer

CATALOG = catalog_pb.DESCRIPTOR.services_by_name["CatalogService"]
CART = cart_pb.DESCRIPTOR.services_by_name["CartService"]
ORDERS = order_pb.DESCRIPTOR.services_by_name["OrderService"]
SAGAS = saga_pb.DESCRIPTOR.services_by_name["SagaService"]

# PostgreSQL takes disks to turn unless told otherwise, and then prefers to read whole
# tables where an index finds the page at once.
PLANNING = "-c random_page_cost=1.1"


@dataclass(frozen=True, slots=True)
class Running:
    """A Commerce that is running."""

    port: int
    database: Database
    engine: SagaEngine


@contextlib.asynccontextmanager
async def running(
    settings: CommerceSettings, *, address: str | None = None, observer: Observer | None = None
) -> AsyncIterator[Running]:
    """Run Commerce until the context ends, then stop it in order.

    Args:
        settings: What it is told.
        address: Where to listen, instead of where the settings say.
        observer: See `Database`.
    """
    keys = KeyRing.load(settings.keys, "commerce")
    identity = ServiceIdentity("commerce", keys.private_key)
    url = settings.commerce_database_url
    database = Database(
        url,
        name="commerce",
        connections=settings.database_connections,
        observer=observer,
        options=PLANNING,
    )
    recovery = Database(url, name="commerce", connections=3, observer=observer)
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(opened(database, recovery))
        auth = await stack.enter_async_context(
            connect(settings.auth_address, identity=identity, interceptors=[TraceInterceptor()])
        )
        profile = await stack.enter_async_context(
            connect(settings.profile_address, identity=identity, interceptors=[TraceInterceptor()])
        )
        engine = _engine(database, recovery, wallet_grpc.WalletServiceStub(profile), settings)
        server = Server(
            [
                (CATALOG, _catalog(database, keys, settings)),
                (CART, _cart(database, keys, settings)),
                (ORDERS, _orders(database, engine, keys, settings)),
                (SAGAS, SagaServicer(database, PageTokens(keys.secret))),
            ],
            access=_access(keys, auth_grpc.AuthServiceStub(auth)),
            probe=database_probe(database),
        )
        engine.start()
        stack.push_async_callback(engine.stop)
        cleaner = _cleaner(recovery)
        cleaner.start()
        stack.push_async_callback(cleaner.stop)
        port = await server.start(address or f"{settings.host}:{settings.commerce_port}")
        stack.push_async_callback(server.stop, settings.stop_grace_seconds)
        yield Running(port=port, database=database, engine=engine)


def _engine(
    database: Database,
    recovery: Database,
    wallets: wallet_grpc.WalletServiceAsyncStub,
    settings: CommerceSettings,
) -> SagaEngine:
    return SagaEngine(
        database,
        recovery=recovery,
        definitions=[
            CheckoutSaga(database, wallets, currency=settings.currency),
            CancellationSaga(database, wallets, currency=settings.currency),
        ],
        owner=f"commerce@{socket.gethostname()}:{os.getpid()}",
    )


def _cleaner(database: Database) -> Cleaner:
    kept = [cleaner.ENDED_SAGAS, cleaner.OLD_BARRIERS, cleaner.OLD_KEYS]
    return Cleaner(database, [*kept, users.LATE_KEYS, users.OLD_TOMBSTONES])


def _access(keys: KeyRing, auth: auth_grpc.AuthServiceAsyncStub) -> Access:
    return Access(
        service="commerce",
        keys=RemoteKeys(auth),
        sessions=RemoteSessions(auth),
        trusted=keys.trusted,
        proxies=PROXIES,
    )


def _catalog(database: Database, keys: KeyRing, settings: CommerceSettings) -> CatalogServicer:
    tokens, totals = PageTokens(keys.secret), Totals(database)
    return CatalogServicer(
        messages=Messages(settings.currency),
        request_keys=RequestKeys(keys.secret),
        create_category=CreateCategory(database),
        list_categories=ListCategories(database, tokens),
        create_product=CreateProduct(database, totals),
        update_product=UpdateProduct(database, totals),
        delete_product=DeleteProduct(database, totals),
        batch_create_products=BatchCreateProducts(database, totals),
        get_product=GetProduct(database),
        list_products=ListProducts(database, tokens, totals, currency=settings.currency),
    )


def _cart(database: Database, keys: KeyRing, settings: CommerceSettings) -> CartServicer:
    return CartServicer(
        messages=Messages(settings.currency),
        request_keys=RequestKeys(keys.secret),
        get_cart=GetCart(database),
        add_cart_item=AddCartItem(database),
        update_cart_item=UpdateCartItem(database),
        remove_cart_item=RemoveCartItem(database),
        clear_cart=ClearCart(database),
    )


def _orders(
    database: Database, engine: SagaEngine, keys: KeyRing, settings: CommerceSettings
) -> OrderServicer:
    get_order = GetOrder(database)
    return OrderServicer(
        messages=Messages(settings.currency),
        request_keys=RequestKeys(keys.secret),
        place_order=PlaceOrder(database, engine),
        get_order=get_order,
        list_orders=ListOrders(database, PageTokens(keys.secret)),
        cancel_order=CancelOrder(database, engine, get_order),
        forget_user=ForgetUser(database),
    )


def main() -> None:
    """Run the process."""
    run("commerce", CommerceSettings, running)


if __name__ == "__main__":
    main()
