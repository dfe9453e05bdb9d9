"""The RPCs of CatalogService."""

from __future__ import annotations

from dataclasses import dataclass

from google.api.httpbody_pb2 import HttpBody
from lockstep.commerce.v1 import catalog_service_pb2 as catalog_pb

from services.commerce.domain import pictures
from services.commerce.domain.pictures import UPLOAD_BYTES_MAX
from services.commerce.domain.products import Seller
from services.commerce.servicers.filters import read_filters
from services.commerce.servicers.messages import Messages, category_message
from services.commerce.usecases.adjust_stock import AdjustStock
from services.commerce.usecases.batch_create_products import BatchCreateProducts
from services.commerce.usecases.batch_get_products import BatchGetProducts
from services.commerce.usecases.create_category import CreateCategory
from services.commerce.usecases.create_product import CreateProduct
from services.commerce.usecases.delete_product import DeleteProduct
from services.commerce.usecases.get_image import GetImage
from services.commerce.usecases.get_product import GetProduct
from services.commerce.usecases.list_categories import ListCategories
from services.commerce.usecases.list_products import ListProducts
from services.commerce.usecases.set_product_image import SetProductImage
from services.commerce.usecases.update_product import UpdateProduct
from services.common.vocabulary import DESCRIPTION_MAX, NAME_MAX
from services.kernel.errors import InvalidField, Violation
from services.kernel.paging import PAGE_SIZE_MAX, page_size
from services.kernel.rpc.call import Call
from services.kernel.sagas.idempotency import RequestKeys
from services.kernel.validation import Violations

BATCH_MAX = 1000
REASON_MAX = 200
# The answer repeats all texts. It must fit into the 4 MiB that every gRPC client takes.
BATCH_TEXT_BYTES_MAX = 3 * 1024 * 1024

CATALOG = catalog_pb.DESCRIPTOR.services_by_name["CatalogService"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogReads:
    """The reads of the catalog, at one place."""

    list_categories: ListCategories
    get_image: GetImage
    get_product: GetProduct
    batch_get_products: BatchGetProducts
    list_products: ListProducts


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogServicer:
    """Serves CatalogService.

    Attributes:
        reads: The reads at the primary.
        nearby: The reads that may be a little old.
    """

    messages: Messages
    request_keys: RequestKeys
    reads: CatalogReads
    nearby: CatalogReads
    create_category: CreateCategory
    create_product: CreateProduct
    update_product: UpdateProduct
    delete_product: DeleteProduct
    adjust_stock: AdjustStock
    set_product_image: SetProductImage
    batch_create_products: BatchCreateProducts

    def _reads(self, call: Call) -> CatalogReads:
        """Choose the primary for those who may have written: a write needs a proof of identity.

        Which replica took the write does not matter then. A proof that is none is not looked
        at: it leads to the primary alone.
        """
        return self.reads if "authorization" in call.metadata else self.nearby

    async def CreateCategory(
        self, request: catalog_pb.CreateCategoryRequest, call: Call
    ) -> catalog_pb.Category:
        """Create a category."""
        with Violations() as v:
            name = v.text(request.name, "name", max_length=NAME_MAX, required=True)
            description = v.text(
                request.description, "description", max_length=DESCRIPTION_MAX, multiline=True
            )
        category = await self.create_category(
            user_id=call.caller.own_id,
            name=name,
            description=description or "",
            origin=call.origin,
            key=self.request_keys.of(call),
        )
        return category_message(category)

    async def ListCategories(
        self, request: catalog_pb.ListCategoriesRequest, call: Call
    ) -> catalog_pb.ListCategoriesResponse:
        """List categories."""
        limit = page_size(request.page_size, default=PAGE_SIZE_MAX)
        categories, token = await self._reads(call).list_categories(
            limit=limit, token=request.page_token
        )
        return catalog_pb.ListCategoriesResponse(
            categories=[category_message(each) for each in categories], next_page_token=token
        )

    async def CreateProduct(
        self, request: catalog_pb.CreateProductRequest, call: Call
    ) -> catalog_pb.Product:
        """Create a product."""
        seller = Seller.of(call.caller)
        with Violations() as v:
            fields = self.messages.product_fields(v, request.product, "product")
        product = await self.create_product(
            seller=seller, fields=fields, origin=call.origin, key=self.request_keys.of(call)
        )
        return self.messages.product(product)

    async def UpdateProduct(
        self, request: catalog_pb.UpdateProductRequest, call: Call
    ) -> catalog_pb.Product:
        """Change a product."""
        seller = Seller.of(call.caller)
        with Violations() as v:
            product_id = v.uuid(request.product.id, "product.id")
            changes = self.messages.product_changes(v, request)
        product = await self.update_product(
            seller=seller,
            product_id=product_id,
            changes=changes,
            origin=call.origin,
            etag=request.product.etag,
        )
        return self.messages.product(product)

    async def AdjustStock(
        self, request: catalog_pb.AdjustStockRequest, call: Call
    ) -> catalog_pb.Product:
        """Change the stock of a product by a number."""
        seller = Seller.of(call.caller)
        with Violations() as v:
            product_id = v.uuid(request.product_id, "product_id")
            if not request.delta:
                v.add("delta", "must differ from 0")
            reason = v.text(request.reason, "reason", max_length=REASON_MAX)
        product = await self.adjust_stock(
            seller=seller,
            product_id=product_id,
            delta=request.delta,
            reason=reason or "",
            origin=call.origin,
            key=self.request_keys.of(call),
        )
        return self.messages.product(product)

    async def SetProductImage(
        self, request: catalog_pb.SetProductImageRequest, call: Call
    ) -> catalog_pb.Product:
        """Give a product a picture."""
        seller = Seller.of(call.caller)
        with Violations() as v:
            product_id = v.uuid(request.product_id, "product_id")
            if not request.image.data:
                v.add("image", "is required")
            if len(request.image.data) > UPLOAD_BYTES_MAX:
                v.add("image", f"must have at most {UPLOAD_BYTES_MAX:,} bytes")
        product = await self.set_product_image(
            seller=seller,
            product_id=product_id,
            upload=request.image.data,
            origin=call.origin,
            etag=request.etag,
        )
        return self.messages.product(product)

    async def GetImage(self, request: catalog_pb.GetImageRequest, call: Call) -> HttpBody:
        """Get a picture."""
        with Violations() as v:
            if not pictures.is_id(request.image_id):
                v.add("image_id", "must be 64 digits from 0 to f")
        data = await self._reads(call).get_image(image_id=request.image_id)
        return HttpBody(content_type=pictures.TYPE, data=data)

    async def DeleteProduct(
        self, request: catalog_pb.DeleteProductRequest, call: Call
    ) -> catalog_pb.DeleteProductResponse:
        """Take a product out of the catalog."""
        seller = Seller.of(call.caller)
        with Violations() as v:
            product_id = v.uuid(request.product_id, "product_id")
        await self.delete_product(
            seller=seller, product_id=product_id, origin=call.origin, etag=request.etag
        )
        return catalog_pb.DeleteProductResponse()

    async def BatchCreateProducts(
        self, request: catalog_pb.BatchCreateProductsRequest, call: Call
    ) -> catalog_pb.BatchCreateProductsResponse:
        """Create many products."""
        with Violations() as v:
            if not 1 <= len(request.products) <= BATCH_MAX:
                raise InvalidField(Violation("products", f"must be 1 to {BATCH_MAX} products"))
            fields = [
                self.messages.product_fields(v, product, f"products[{i}]")
                for i, product in enumerate(request.products)
            ]
            if sum(each.text_bytes for each in fields) > BATCH_TEXT_BYTES_MAX:
                v.add("products", "must have at most 3 MiB of text together")
        products = await self.batch_create_products(
            user_id=call.caller.own_id,
            fields=fields,
            origin=call.origin,
            key=self.request_keys.of(call),
        )
        return catalog_pb.BatchCreateProductsResponse(
            products=[self.messages.product(product) for product in products]
        )

    async def GetCurrency(
        self, request: catalog_pb.GetCurrencyRequest, call: Call
    ) -> catalog_pb.Currency:
        """Get the currency of every amount."""
        currency = self.messages.currency
        return catalog_pb.Currency(code=currency.code, digits=currency.digits)

    async def GetProduct(
        self, request: catalog_pb.GetProductRequest, call: Call
    ) -> catalog_pb.Product:
        """Get a product."""
        with Violations() as v:
            product_id = v.uuid(request.product_id, "product_id")
        return self.messages.product(await self._reads(call).get_product(product_id=product_id))

    async def BatchGetProducts(
        self, request: catalog_pb.BatchGetProductsRequest, call: Call
    ) -> catalog_pb.BatchGetProductsResponse:
        """Get several products."""
        with Violations() as v:
            ids = v.uuids(request.ids, "ids", limit=PAGE_SIZE_MAX)
        found = await self._reads(call).batch_get_products(product_ids=ids)
        return catalog_pb.BatchGetProductsResponse(products=map(self.messages.product, found))

    async def ListProducts(
        self, request: catalog_pb.ListProductsRequest, call: Call
    ) -> catalog_pb.ListProductsResponse:
        """List products."""
        with Violations() as v:
            filters = read_filters(v, request, self.messages.currency)
            page = v.at_least(0, request.page, "page")
            if page and request.page_token:
                v.add("page", "must be absent when there is a page_token")
            limit = page_size(request.limit, field="limit")
        found = await self._reads(call).list_products(
            filters=filters, page=page or 1, token=request.page_token, limit=limit
        )
        return self.messages.page(found)
