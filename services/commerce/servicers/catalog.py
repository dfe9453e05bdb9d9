"""CatalogService on the wire."""

from __future__ import annotations

from dataclasses import dataclass

from lockstep.commerce.v1 import catalog_service_pb2 as catalog_pb

from services.commerce.servicers.messages import Messages, category_message
from services.commerce.usecases.batch_create_products import BatchCreateProducts
from services.commerce.usecases.create_category import CreateCategory
from services.commerce.usecases.create_product import CreateProduct
from services.commerce.usecases.delete_product import DeleteProduct
from services.commerce.usecases.get_product import GetProduct
from services.commerce.usecases.list_categories import ListCategories
from services.commerce.usecases.list_products import ListProducts, ListRequest
from services.commerce.usecases.update_product import UpdateProduct
from services.kernel.rpc.call import Call
from services.kernel.sagas.idempotency import RequestKeys

CATALOG = catalog_pb.DESCRIPTOR.services_by_name["CatalogService"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogServicer:
    """Serves CatalogService."""

    messages: Messages
    request_keys: RequestKeys
    create_category: CreateCategory
    list_categories: ListCategories
    create_product: CreateProduct
    update_product: UpdateProduct
    delete_product: DeleteProduct
    batch_create_products: BatchCreateProducts
    get_product: GetProduct
    list_products: ListProducts

    async def CreateCategory(
        self, request: catalog_pb.CreateCategoryRequest, call: Call
    ) -> catalog_pb.Category:
        """Create a category."""
        category = await self.create_category(
            name=request.name, description=request.description, key=self.request_keys.of(call)
        )
        return category_message(category)

    async def ListCategories(
        self, request: catalog_pb.ListCategoriesRequest, call: Call
    ) -> catalog_pb.ListCategoriesResponse:
        """List categories."""
        categories, token = await self.list_categories(
            size=request.page_size, token=request.page_token
        )
        return catalog_pb.ListCategoriesResponse(
            categories=[category_message(each) for each in categories], next_page_token=token
        )

    async def CreateProduct(
        self, request: catalog_pb.CreateProductRequest, call: Call
    ) -> catalog_pb.Product:
        """Create a product."""
        product = await self.create_product(
            caller=call.user,
            draft=self.messages.draft(request.product, "product."),
            key=self.request_keys.of(call),
        )
        return self.messages.product(product)

    async def UpdateProduct(
        self, request: catalog_pb.UpdateProductRequest, call: Call
    ) -> catalog_pb.Product:
        """Change a product."""
        product = await self.update_product(
            caller=call.user,
            product_id=request.product.id,
            draft=self.messages.draft(request.product, "product."),
            mask=request.update_mask.paths,
            etag=request.product.etag,
        )
        return self.messages.product(product)

    async def DeleteProduct(
        self, request: catalog_pb.DeleteProductRequest, call: Call
    ) -> catalog_pb.DeleteProductResponse:
        """Take a product out of the catalog."""
        await self.delete_product(
            caller=call.user, product_id=request.product_id, etag=request.etag
        )
        return catalog_pb.DeleteProductResponse()

    async def BatchCreateProducts(
        self, request: catalog_pb.BatchCreateProductsRequest, call: Call
    ) -> catalog_pb.BatchCreateProductsResponse:
        """Create many products."""
        products = await self.batch_create_products(
            drafts=[
                self.messages.draft(product, f"products[{i}].")
                for i, product in enumerate(request.products)
            ],
            key=self.request_keys.of(call),
        )
        return catalog_pb.BatchCreateProductsResponse(
            products=[self.messages.product(product) for product in products]
        )

    async def GetProduct(
        self, request: catalog_pb.GetProductRequest, call: Call
    ) -> catalog_pb.Product:
        """Get a product."""
        return self.messages.product(await self.get_product(product_id=request.product_id))

    async def ListProducts(
        self, request: catalog_pb.ListProductsRequest, call: Call
    ) -> catalog_pb.ListProductsResponse:
        """List products."""
        page = await self.list_products(
            ListRequest(
                category=request.category,
                min_price=request.min_price,
                max_price=request.max_price,
                q=request.q,
                sort=request.sort,
                page=request.page,
                limit=request.limit,
                page_token=request.page_token,
            )
        )
        return self.messages.page(page)
