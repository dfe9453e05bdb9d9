"""Commerce's process: its composition and its place on the network."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from functools import partial

from lockstep.profile.v1 import wallet_service_pb2_grpc as wallet_grpc

from services.commerce import sagas, store, usecases
from services.commerce.domain.totals import Totals
from services.commerce.servicers.cart import CART, CartServicer
from services.commerce.servicers.catalog import CATALOG, CatalogServicer
from services.commerce.servicers.messages import Messages
from services.commerce.servicers.order import ORDER, OrderServicer
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
    messages = Messages(parts.currency)
    return Composition(
        servicers={
            CATALOG: catalog_servicer(parts, messages),
            CART: cart_servicer(parts, messages),
            ORDER: order_servicer(
                parts, messages, Requests(parts.database, engine), commission_bps
            ),
            SAGA: SagaServicer(parts.database, parts.page_tokens),
        },
        authentication=remote_authentication(parts.channel("auth")),
        cleanups=store.CLEANUPS,
        engine=engine,
    )


def catalog_servicer(parts: ServiceParts, messages: Messages) -> CatalogServicer:
    """Put the use cases of CatalogService together."""
    database, public, totals = parts.database, parts.public, Totals(parts.public)
    return CatalogServicer(
        messages=messages,
        request_keys=parts.request_keys,
        create_category=usecases.CreateCategory(database),
        list_categories=usecases.ListCategories(public, parts.page_tokens),
        create_product=usecases.CreateProduct(database, totals),
        update_product=usecases.UpdateProduct(database, totals),
        adjust_stock=usecases.AdjustStock(database),
        delete_product=usecases.DeleteProduct(database, totals),
        batch_create_products=usecases.BatchCreateProducts(database, totals),
        get_product=usecases.GetProduct(public),
        batch_get_products=usecases.BatchGetProducts(public),
        list_products=usecases.ListProducts(public, parts.page_tokens, totals),
    )


def cart_servicer(parts: ServiceParts, messages: Messages) -> CartServicer:
    """Put the use cases of CartService together."""
    return CartServicer(
        messages=messages,
        request_keys=parts.request_keys,
        get_cart=usecases.GetCart(parts.database),
        add_cart_item=usecases.AddCartItem(parts.database),
        update_cart_item=usecases.UpdateCartItem(parts.database),
        remove_cart_item=usecases.RemoveCartItem(parts.database),
        clear_cart=usecases.ClearCart(parts.database),
        merge_cart=usecases.MergeCart(parts.database),
    )


def order_servicer(
    parts: ServiceParts, messages: Messages, requests: Requests, commission_bps: int
) -> OrderServicer:
    """Put the use cases of OrderService together."""
    return OrderServicer(
        messages=messages,
        request_keys=parts.request_keys,
        place_order=usecases.PlaceOrder(parts.database, requests, commission_bps),
        get_order=usecases.GetOrder(parts.database),
        list_orders=usecases.ListOrders(parts.database, parts.page_tokens),
        cancel_order=usecases.CancelOrder(parts.database, requests),
        fulfil_order=usecases.FulfilOrder(parts.database),
        refund_order=usecases.RefundOrder(parts.database, requests),
        forget_user=usecases.ForgetUser(parts.database),
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
        ledger=store.MONEY,
    )
    composed = partial(compose, commission_bps=settings.commission_bps)
    return service.running(frame, settings, composed, listen_on=listen_on, observer=observer)


def main() -> None:
    """Run the process."""
    service.run("commerce", CommerceSettings, running)


if __name__ == "__main__":
    main()
