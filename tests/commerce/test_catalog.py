"""Categories and products."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.type.money_pb2 import Money
from lockstep.commerce.v1 import catalog_service_pb2 as catalog_pb
from lockstep_clients import (
    Aborted,
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Unauthenticated,
)

from services.kernel.ids import new_id
from tests.commerce.people import minor_of, money
from tests.commerce.world import Buyer, Shop, fields_of, refusal

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(name="shop")
def shop_of_all(shared_shop: Shop) -> Shop:
    return shared_shop


async def categories(shop: Shop, size: int) -> list[catalog_pb.Category]:
    """Follow the tokens to the end."""
    seen: list[catalog_pb.Category] = []
    token = ""
    while True:
        request = catalog_pb.ListCategoriesRequest(page_size=size, page_token=token)
        response = await shop.catalog.ListCategories(request)
        assert 0 < len(response.categories) <= size
        seen += response.categories
        token = response.next_page_token
        if not token:
            return seen


async def test_categories_are_created_and_listed_by_name(shop: Shop) -> None:
    names = ["apples", "Books", "pens", "Ärmel"]
    for name in ("pens", "Books", "Ärmel", "apples"):
        await shop.category(name, description="All sorts")
    for size in (2, 100):
        found = [each for each in await categories(shop, size) if each.name in names]
        assert [each.name for each in found] == names
        assert found[0].description == "All sorts"
        assert found[0].create_time.seconds


async def test_a_page_of_categories_has_a_size_and_a_token_of_ours(shop: Shop) -> None:
    with refusal("INVALID_FIELD", InvalidArgument) as caught:
        await shop.catalog.ListCategories(catalog_pb.ListCategoriesRequest(page_size=-1))
    assert fields_of(caught) == {"page_size"}
    with refusal("INVALID_FIELD", InvalidArgument) as caught:
        await shop.catalog.ListCategories(catalog_pb.ListCategoriesRequest(page_token="x"))
    assert fields_of(caught) == {"page_token"}


async def test_the_name_of_a_category_is_unique_whatever_its_case(shop: Shop) -> None:
    await shop.category("Cocoa")
    with refusal("CATEGORY_NAME_TAKEN", AlreadyExists):
        await shop.category("COCOA")


async def test_a_category_needs_a_good_name(shop: Shop) -> None:
    for name in ("", "   ", "x" * 101, "two\nlines"):
        request = catalog_pb.CreateCategoryRequest(name=name, description="x" * 5001)
        with refusal("INVALID_FIELD", InvalidArgument) as caught:
            await shop.catalog.CreateCategory(request, metadata=shop.admin)
        assert fields_of(caught) == {"name", "description"}


async def test_only_administrators_create_categories(shop: Shop) -> None:
    request = catalog_pb.CreateCategoryRequest(name="Coffee")
    with refusal("FORBIDDEN", PermissionDenied):
        await shop.catalog.CreateCategory(request, metadata=shop.login("brand").metadata)
    with refusal("INVALID_TOKEN", Unauthenticated):
        await shop.catalog.CreateCategory(request)


async def test_a_product_refers_to_its_category(shop: Shop) -> None:
    category = await shop.category("Tea")
    made = await shop.product(
        category_id=category.id,
        name="  Green tea ",
        description="Fresh.\nFrom the hills.",
        price=1099,
        stock=7,
        image_url="https://example.com/tea.jpg",
    )
    found = await shop.catalog.GetProduct(catalog_pb.GetProductRequest(product_id=made.id))
    assert found == made
    assert (found.category_id, found.category.id) == (category.id, category.id)
    assert found.category.name == "Tea"
    assert found.name == "Green tea"
    assert found.description == "Fresh.\nFrom the hills."
    assert minor_of(found.price) == 1099
    assert found.price.currency_code == "USD"
    assert found.stock == 7
    assert not found.HasField("seller_id")
    assert found.etag


async def test_every_wrong_field_of_a_product_is_named_at_once(shop: Shop) -> None:
    product = catalog_pb.Product(
        category_id="tea",
        name="x" * 201,
        description="x" * 5001,
        price=Money(currency_code="EUR", units=1),
        stock=-1,
        image_url="javascript:alert(1)",
    )
    request = catalog_pb.CreateProductRequest(product=product)
    with refusal("INVALID_FIELD", InvalidArgument) as caught:
        await shop.catalog.CreateProduct(request, metadata=shop.admin)
    assert fields_of(caught) == {
        "product.category_id",
        "product.name",
        "product.description",
        "product.price.currency_code",
        "product.stock",
        "product.image_url",
    }


async def test_an_empty_product_lacks_what_is_required(shop: Shop) -> None:
    with refusal("INVALID_FIELD", InvalidArgument) as caught:
        await shop.catalog.CreateProduct(catalog_pb.CreateProductRequest(), metadata=shop.admin)
    assert fields_of(caught) == {"product.category_id", "product.name", "product.price"}


@pytest.mark.parametrize(
    "price",
    [
        Money(units=-1),
        Money(units=1, nanos=-1),
        Money(units=1, nanos=1),
        Money(units=1, nanos=10**9),
        Money(units=10**10 + 1),
        Money(units=2**63 - 1),
    ],
    ids=["negative", "mixed signs", "a tenth of a cent", "too many nanos", "too much", "overflow"],
)
async def test_a_price_is_a_whole_amount_that_is_not_negative(shop: Shop, price: Money) -> None:
    category = await shop.category()
    product = catalog_pb.Product(category_id=category.id, name="Tea", price=price)
    with refusal("INVALID_FIELD", InvalidArgument):
        await shop.catalog.CreateProduct(
            catalog_pb.CreateProductRequest(product=product), metadata=shop.admin
        )


async def test_a_price_may_be_nothing_and_the_largest_amount(shop: Shop) -> None:
    assert minor_of((await shop.product(price=0)).price) == 0
    assert minor_of((await shop.product(price=10**12)).price) == 10**12


async def test_a_product_of_no_category_is_not_found(shop: Shop) -> None:
    with refusal("CATEGORY_NOT_FOUND", NotFound):
        await shop.product(category_id=str(new_id()))


async def test_a_brand_has_products_of_its_own_and_changes_no_others(shop: Shop) -> None:
    brand, other = shop.login("brand"), shop.login("brand")
    mine = await shop.product(by=brand)
    assert mine.seller_id == str(brand.id)
    request = catalog_pb.UpdateProductRequest(
        product=catalog_pb.Product(id=mine.id, name="Better tea")
    )
    changed = await shop.catalog.UpdateProduct(request, metadata=brand.metadata)
    assert changed.name == "Better tea"
    with refusal("FORBIDDEN", PermissionDenied):
        await shop.catalog.UpdateProduct(request, metadata=other.metadata)
    deletion = catalog_pb.DeleteProductRequest(product_id=mine.id)
    with refusal("FORBIDDEN", PermissionDenied):
        await shop.catalog.DeleteProduct(deletion, metadata=other.metadata)
    assert (await shop.change(mine, stock=3)).seller_id == str(brand.id)
    await shop.catalog.DeleteProduct(deletion, metadata=brand.metadata)


@pytest.mark.parametrize("role", ["customer", "creator", "student"])
async def test_who_is_neither_brand_nor_administrator_has_no_products(
    shop: Shop, role: str
) -> None:
    product = await shop.product()
    someone = shop.login(role)
    with refusal("FORBIDDEN", PermissionDenied):
        await shop.product(by=someone, category_id=product.category_id)
    with refusal("FORBIDDEN", PermissionDenied):
        await shop.catalog.UpdateProduct(
            catalog_pb.UpdateProductRequest(product=product), metadata=someone.metadata
        )
    with refusal("FORBIDDEN", PermissionDenied):
        await shop.catalog.DeleteProduct(
            catalog_pb.DeleteProductRequest(product_id=product.id), metadata=someone.metadata
        )


async def test_a_role_without_products_is_refused_before_the_form_is_checked(shop: Shop) -> None:
    someone = shop.login()
    with refusal("FORBIDDEN", PermissionDenied):
        await shop.catalog.CreateProduct(
            catalog_pb.CreateProductRequest(), metadata=someone.metadata
        )
    with refusal("FORBIDDEN", PermissionDenied):
        await shop.catalog.UpdateProduct(
            catalog_pb.UpdateProductRequest(), metadata=someone.metadata
        )
    with refusal("FORBIDDEN", PermissionDenied):
        await shop.catalog.DeleteProduct(
            catalog_pb.DeleteProductRequest(), metadata=someone.metadata
        )


async def update(shop: Shop, product: catalog_pb.Product, *paths: str) -> catalog_pb.Product:
    request = catalog_pb.UpdateProductRequest(
        product=product, update_mask=FieldMask(paths=paths) if paths else None
    )
    return await shop.catalog.UpdateProduct(request, metadata=shop.admin)


async def test_an_update_changes_what_the_mask_names_and_nothing_else(shop: Shop) -> None:
    made = await shop.product(description="Old", stock=5, image_url="https://example.com/a.png")
    wanted = catalog_pb.Product(id=made.id, name="New", price=money(5), description="ignored")
    changed = await update(shop, wanted, "name", "stock", "image_url")
    assert (changed.name, changed.stock, changed.image_url) == ("New", 0, "")
    assert (changed.description, changed.price) == ("Old", made.price)
    assert changed.etag != made.etag
    assert changed.update_time.ToNanoseconds() > made.update_time.ToNanoseconds()
    assert changed.create_time == made.create_time


async def test_an_update_without_a_mask_changes_what_is_set(shop: Shop) -> None:
    made = await shop.product(stock=5, description="Old")
    changed = await update(shop, catalog_pb.Product(id=made.id, price=money(0)))
    assert minor_of(changed.price) == 0
    assert (changed.name, changed.stock, changed.description) == (made.name, 5, "Old")
    unchanged = await update(shop, catalog_pb.Product(id=made.id))
    assert unchanged == changed


async def test_an_empty_mask_changes_nothing(shop: Shop) -> None:
    made = await shop.product(stock=5)
    request = catalog_pb.UpdateProductRequest(
        product=catalog_pb.Product(id=made.id, name="New"), update_mask=FieldMask()
    )
    assert await shop.catalog.UpdateProduct(request, metadata=shop.admin) == made


async def test_a_star_in_the_mask_replaces_everything(shop: Shop) -> None:
    made = await shop.product(stock=5, description="Old")
    wanted = catalog_pb.Product(
        id=made.id, category_id=made.category_id, name="New", price=money(1)
    )
    changed = await update(shop, wanted, "*")
    assert (changed.name, changed.stock, changed.description) == ("New", 0, "")


@pytest.mark.parametrize(
    ("product", "paths", "field"),
    [
        ({"name": "x"}, ["seller_id"], "update_mask"),
        ({"name": "x"}, ["name", "create_time"], "update_mask"),
        ({"name": "x"}, ["name.x"], "update_mask"),
        ({}, ["name"], "product.name"),
        ({}, ["price"], "product.price"),
        ({}, ["category_id"], "product.category_id"),
        ({"stock": -5}, [], "product.stock"),
        ({"price": Money(currency_code="EUR")}, [], "product.price.currency_code"),
    ],
)
async def test_an_update_with_a_wrong_field_changes_nothing(
    shop: Shop, product: dict[str, Any], paths: list[str], field: str
) -> None:
    made = await shop.product()
    with refusal("INVALID_FIELD", InvalidArgument) as caught:
        await update(shop, catalog_pb.Product(id=made.id, **product), *paths)
    assert fields_of(caught) == {field}
    request = catalog_pb.GetProductRequest(product_id=made.id)
    assert await shop.catalog.GetProduct(request) == made


async def test_an_etag_keeps_from_overwriting_what_was_not_seen(shop: Shop) -> None:
    seen = await shop.product()
    await shop.change(seen, name="Somebody else's")
    with refusal("ETAG_MISMATCH", Aborted):
        await update(shop, catalog_pb.Product(id=seen.id, name="Mine", etag=seen.etag))
    with refusal("ETAG_MISMATCH", Aborted):
        await shop.catalog.DeleteProduct(
            catalog_pb.DeleteProductRequest(product_id=seen.id, etag=seen.etag),
            metadata=shop.admin,
        )
    found = await shop.catalog.GetProduct(catalog_pb.GetProductRequest(product_id=seen.id))
    assert found.name == "Somebody else's"
    await update(shop, catalog_pb.Product(id=seen.id, name="Mine", etag=found.etag))


async def test_what_is_sold_changes_the_etag_and_hinders_no_change(shop: Shop) -> None:
    seen = await shop.product(stock=5)
    await shop.bought(await shop.buyer(), seen, 2)
    sold = await shop.catalog.GetProduct(catalog_pb.GetProductRequest(product_id=seen.id))
    assert (sold.stock, sold.update_time) == (3, seen.update_time)
    assert sold.etag != seen.etag  # so that nobody is told that nothing has changed
    changed = await update(shop, catalog_pb.Product(id=seen.id, name="Mine", etag=seen.etag))
    assert (changed.name, changed.stock) == ("Mine", 3)
    with refusal("ETAG_MISMATCH", Aborted):
        await update(shop, catalog_pb.Product(id=seen.id, name="Yours", etag=sold.etag))


async def adjust(
    shop: Shop, product_id: str, delta: int, *, by: Buyer | None = None, key: str = ""
) -> catalog_pb.Product:
    request = catalog_pb.AdjustStockRequest(product_id=product_id, delta=delta)
    metadata = by.metadata if by else shop.admin
    if key:
        metadata = (*metadata, ("idempotency-key", key))
    return await shop.catalog.AdjustStock(request, metadata=metadata)


async def test_a_stock_is_adjusted_by_what_came_in_whatever_is_sold(shop: Shop) -> None:
    brand, buyer = shop.login("brand"), await shop.buyer()
    seen = await shop.product(by=brand, stock=5)
    await shop.add(buyer, seen, 2)
    await asyncio.gather(shop.place(buyer), *(adjust(shop, seen.id, 10, by=brand) for _ in "abc"))
    assert await shop.stock(seen) == 33
    for _ in "ab":
        adjusted = await adjust(shop, seen.id, -3, by=brand, key="once")
        assert (adjusted.stock, adjusted.update_time) == (30, seen.update_time)
    assert await shop.stock(seen) == 30


async def test_everybody_may_ask_for_the_currency_and_its_decimals(shop: Shop) -> None:
    currency = await shop.catalog.GetCurrency(catalog_pb.GetCurrencyRequest())
    assert (currency.code, currency.digits) == ("USD", 2)


async def test_the_reason_of_an_adjustment_is_kept_once(shop: Shop) -> None:
    product = await shop.product(stock=5)
    request = catalog_pb.AdjustStockRequest(product_id=product.id, delta=-2, reason=" Broken. ")
    for _ in "ab":
        metadata = (*shop.admin, ("idempotency-key", "broken"))
        await shop.catalog.AdjustStock(request, metadata=metadata)
    await adjust(shop, product.id, 4)
    kept = "SELECT delta, stock, reason FROM stock_adjustments WHERE product_id = %s ORDER BY id"
    assert shop.rows(kept, product.id) == [(-2, 3, "Broken."), (4, 7, "")]
    for reason in ("x" * 201, "a\x00b", "a\nb"):
        with refusal("INVALID_FIELD", InvalidArgument) as caught:
            await shop.catalog.AdjustStock(
                catalog_pb.AdjustStockRequest(product_id=product.id, delta=1, reason=reason),
                metadata=shop.admin,
            )
        assert fields_of(caught) == {"reason"}


async def test_a_stock_stays_within_its_bounds(shop: Shop) -> None:
    product = await shop.product(stock=5)
    with refusal("NO_STOCK", FailedPrecondition):
        await adjust(shop, product.id, -6)
    for delta in (0, 10**9 - 4):
        with refusal("INVALID_FIELD", InvalidArgument) as caught:
            await adjust(shop, product.id, delta)
        assert fields_of(caught) == {"delta"}
    with refusal("INVALID_FIELD", InvalidArgument) as caught:
        await shop.change(product, stock=10**9 + 1)
    assert fields_of(caught) == {"product.stock"}
    assert await shop.stock(product) == 5


async def test_only_its_seller_and_administrators_adjust_a_stock(shop: Shop) -> None:
    product = await shop.product(by=shop.login("brand"), stock=5)
    for other in (shop.login("brand"), shop.login("customer")):
        with refusal("FORBIDDEN", PermissionDenied):
            await adjust(shop, product.id, 1, by=other)
    assert (await adjust(shop, product.id, 1)).stock == 6
    await shop.remove(product)
    with refusal("PRODUCT_NOT_FOUND", NotFound):
        await adjust(shop, product.id, 1)


async def test_a_deleted_product_is_gone_for_everybody(shop: Shop) -> None:
    product = await shop.product()
    await shop.remove(product)
    with refusal("PRODUCT_NOT_FOUND", NotFound):
        await shop.catalog.GetProduct(catalog_pb.GetProductRequest(product_id=product.id))
    with refusal("PRODUCT_NOT_FOUND", NotFound):
        await shop.change(product, name="Back")
    with refusal("PRODUCT_NOT_FOUND", NotFound):
        await shop.remove(product)
    assert not (await shop.listed(category=product.category_id)).products


async def test_unknown_and_malformed_products_are_told_apart(shop: Shop) -> None:
    with refusal("PRODUCT_NOT_FOUND", NotFound):
        await shop.catalog.GetProduct(catalog_pb.GetProductRequest(product_id=str(new_id())))
    for wrong in ("", "1", "{" + str(new_id()) + "}", "' OR 1=1 --"):
        with refusal("INVALID_FIELD", InvalidArgument):
            await shop.catalog.GetProduct(catalog_pb.GetProductRequest(product_id=wrong))


async def test_a_batch_is_created_in_order(shop: Shop) -> None:
    made = await shop.products(1000)
    assert len({product.id for product in made}) == 1000
    assert (await shop.listed(category=made[0].category_id)).metadata.total == 1000


async def test_a_batch_is_created_as_a_whole_or_not_at_all(shop: Shop) -> None:
    category = await shop.category()
    good = catalog_pb.Product(category_id=category.id, name="Tea", price=money(1))
    bad = catalog_pb.Product(category_id=category.id, price=money(1), stock=-1)
    lost = catalog_pb.Product(category_id=str(new_id()), name="Tea", price=money(1))

    async def batch(*products: catalog_pb.Product) -> None:
        request = catalog_pb.BatchCreateProductsRequest(products=products)
        await shop.catalog.BatchCreateProducts(request, metadata=shop.admin)

    with refusal("INVALID_FIELD", InvalidArgument) as caught:
        await batch(good, bad)
    assert fields_of(caught) == {"products[1].name", "products[1].stock"}
    with refusal("CATEGORY_NOT_FOUND", NotFound):
        await batch(good, lost)
    for number in (0, 1001):
        with refusal("INVALID_FIELD", InvalidArgument) as caught:
            await batch(*[good] * number)
        assert fields_of(caught) == {"products"}
    assert not (await shop.listed(category=category.id)).products


async def test_a_key_makes_a_repeated_creation_harmless(shop: Shop) -> None:
    category = await shop.category()
    request = catalog_pb.CreateProductRequest(
        product=catalog_pb.Product(category_id=category.id, name="Tea", price=money(1))
    )
    keyed = (*shop.admin, ("idempotency-key", "once"))
    first = await shop.catalog.CreateProduct(request, metadata=keyed)
    assert await shop.catalog.CreateProduct(request, metadata=keyed) == first
    assert len((await shop.listed(category=category.id)).products) == 1
    request.product.name = "Coffee"
    with refusal("IDEMPOTENCY_KEY_REUSED", InvalidArgument):
        await shop.catalog.CreateProduct(request, metadata=keyed)
