"""Commerce's servicers, put together with their use cases."""

from __future__ import annotations

from services.commerce import usecases
from services.commerce.domain.list_memory import ListMemory
from services.commerce.domain.pictures import PictureDecoder
from services.commerce.servicers.cart import CartServicer
from services.commerce.servicers.catalog import CatalogReads, CatalogServicer
from services.commerce.servicers.messages import Messages
from services.commerce.servicers.order import OrderServicer
from services.common.parts import ServiceParts
from services.kernel.db.database import Reader
from services.kernel.paging import PageTokens
from services.kernel.sagas.requests import Requests


def catalog_servicer(parts: ServiceParts, messages: Messages) -> CatalogServicer:
    """Put the use cases of CatalogService together."""
    database, memory = parts.database, ListMemory.over(parts.public)
    reads = _reads(parts.public, parts.page_tokens, memory)
    nearby = parts.nearby
    return CatalogServicer(
        messages=messages,
        request_keys=parts.request_keys,
        reads=reads,
        nearby=reads
        if nearby is None
        else _reads(nearby, parts.page_tokens, ListMemory.over(nearby)),
        create_category=usecases.CreateCategory(database),
        create_product=usecases.CreateProduct(database, memory),
        update_product=usecases.UpdateProduct(database, memory),
        set_product_image=usecases.SetProductImage(database, PictureDecoder()),
        adjust_stock=usecases.AdjustStock(database),
        delete_product=usecases.DeleteProduct(database, memory),
        batch_create_products=usecases.BatchCreateProducts(database, memory),
    )


def _reads(reader: Reader, tokens: PageTokens, memory: ListMemory) -> CatalogReads:
    return CatalogReads(
        list_categories=usecases.ListCategories(reader, tokens),
        get_image=usecases.GetImage(reader),
        get_product=usecases.GetProduct(reader),
        batch_get_products=usecases.BatchGetProducts(reader),
        list_products=usecases.ListProducts(reader, tokens, memory),
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
        list_sales=usecases.ListSales(parts.database, parts.page_tokens),
        cancel_order=usecases.CancelOrder(parts.database, requests),
        fulfil_order=usecases.FulfilOrder(parts.database),
        refund_order=usecases.RefundOrder(parts.database, requests),
        forget_user=usecases.ForgetUser(parts.database),
    )
