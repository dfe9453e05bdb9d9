"""Commerce's use cases, one a file, each named after its RPC."""

from services.commerce.usecases.add_cart_item import AddCartItem
from services.commerce.usecases.adjust_stock import AdjustStock
from services.commerce.usecases.batch_create_products import BatchCreateProducts
from services.commerce.usecases.batch_get_products import BatchGetProducts
from services.commerce.usecases.cancel_order import CancelOrder
from services.commerce.usecases.clear_cart import ClearCart
from services.commerce.usecases.create_category import CreateCategory
from services.commerce.usecases.create_product import CreateProduct
from services.commerce.usecases.delete_product import DeleteProduct
from services.commerce.usecases.forget_user import ForgetUser
from services.commerce.usecases.fulfil_order import FulfilOrder
from services.commerce.usecases.get_cart import GetCart
from services.commerce.usecases.get_image import GetImage
from services.commerce.usecases.get_order import GetOrder
from services.commerce.usecases.get_product import GetProduct
from services.commerce.usecases.list_categories import ListCategories
from services.commerce.usecases.list_orders import ListOrders
from services.commerce.usecases.list_products import ListProducts
from services.commerce.usecases.list_sales import ListSales
from services.commerce.usecases.merge_cart import MergeCart
from services.commerce.usecases.place_order import PlaceOrder
from services.commerce.usecases.refund_order import RefundOrder
from services.commerce.usecases.remove_cart_item import RemoveCartItem
from services.commerce.usecases.set_product_image import SetProductImage
from services.commerce.usecases.update_cart_item import UpdateCartItem
from services.commerce.usecases.update_product import UpdateProduct

__all__ = [
    "AddCartItem",
    "AdjustStock",
    "BatchCreateProducts",
    "BatchGetProducts",
    "CancelOrder",
    "ClearCart",
    "CreateCategory",
    "CreateProduct",
    "DeleteProduct",
    "ForgetUser",
    "FulfilOrder",
    "GetCart",
    "GetImage",
    "GetOrder",
    "GetProduct",
    "ListCategories",
    "ListOrders",
    "ListProducts",
    "ListSales",
    "MergeCart",
    "PlaceOrder",
    "RefundOrder",
    "RemoveCartItem",
    "SetProductImage",
    "UpdateCartItem",
    "UpdateProduct",
]
