"""The people of `lockstep seed --people`: one who buys, one who sells, one who administers.

All they have was made through the running services, as people would do it.
"""

import asyncio
import secrets
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

import grpc
from google.api.httpbody_pb2 import HttpBody
from google.type.money_pb2 import Money
from lockstep.auth.v1 import auth_service_pb2 as auth_pb
from lockstep.auth.v1 import auth_service_pb2_grpc as auth_grpc
from lockstep.commerce.v1 import cart_service_pb2 as cart_pb
from lockstep.commerce.v1 import cart_service_pb2_grpc as cart_grpc
from lockstep.commerce.v1 import catalog_service_pb2 as catalog_pb
from lockstep.commerce.v1 import catalog_service_pb2_grpc as catalog_grpc
from lockstep.commerce.v1 import order_service_pb2 as order_pb
from lockstep.commerce.v1 import order_service_pb2_grpc as order_grpc
from lockstep.profile.v1 import wallet_service_pb2 as wallet_pb
from lockstep.profile.v1 import wallet_service_pb2_grpc as wallet_grpc
from lockstep_clients import bearer

from services.cli.errors import CommandError
from services.cli.operator import call_as_anybody, call_as_operator, rows
from services.commerce.domain.demo_pictures import pictures_of
from services.common.settings import CommonSettings, load

MONEY: Final = 500
# Nouns, colours and prices of what the brand sells; the first ones are sold.
THINGS: Final = (
    ("teapot", "forest green", 48),
    ("espresso cup", "rust", 14),
    ("mixing bowl", "sand", 29),
    ("cake stand", "cream", 39),
    ("plant pot", "navy", 24),
    ("soap dish", "slate", 17),
)
SOLD: Final = 2
STOCK: Final = 12
CATEGORY: Final = "Pottery"
BRAND: Final = "Miller & Daughter"
ADDRESS: Final = "Carla Reyes\n7 Orchard Road\nBristol BS1 5TR"
TEXT: Final = (
    "Thrown and fired in our own workshop, in small numbers. It may go into the dishwasher."
)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who can sign in."""

    does: str
    email: str
    password: str
    id: str
    proof: tuple[tuple[str, str], ...]


def make_people() -> list[Person]:
    """Make them, and return how they sign in. Each call makes others.

    Raises:
        CommandError: LOCKSTEP_ENV is not `test`, or a service did not do its part.
    """
    if load(CommonSettings).env != "test":
        raise CommandError(
            "LOCKSTEP_ENV must be test for --people: they are there to try things out, and one of "
            "them is an administrator"
        )
    return asyncio.run(_make())


async def _make() -> list[Person]:
    buyer = await _register(
        *("buys", "carla"), role="customer", full_name="Carla Reyes", phone_number=_phone()
    )
    names = {"first_name": "Ada", "last_name": "Miller"}
    work = {"company": BRAND, "company_size": "1-10", "user_role": "founder"}
    seller = await _register("sells", "ada", role="brand", **names, **work)
    admin = await _administrator()
    products = await call_as_anybody("commerce", lambda channel: _offer(channel, admin, seller))
    sold = products[:SOLD]
    spent = sum(each.price.units for each in sold)
    await call_as_anybody("profile", lambda channel: _top_up(channel, admin, buyer, MONEY + spent))
    await call_as_anybody("commerce", lambda channel: _buy(channel, buyer, sold))
    return [buyer, seller, admin]


async def _register(does: str, name: str, **details: str) -> Person:
    email = f"{name}-{secrets.token_hex(3)}@example.com"
    password = f"Shop-{secrets.token_hex(5)}-7"
    request = auth_pb.RegisterRequest(email=email, password=password, **details)
    await call_as_anybody(
        "auth", lambda channel: auth_grpc.AuthServiceStub(channel).Register(request)
    )
    return await _signed_in(does, email, password)


async def _administrator() -> Person:
    names = {"first_name": "Grace", "last_name": "Keller"}
    person = await _register("administers", "grace", role="creator", **names)
    request = auth_pb.PromoteUserRequest(email=person.email)
    await call_as_operator(
        "auth", lambda channel: auth_grpc.AuthServiceStub(channel).PromoteUser(request)
    )
    return await _signed_in(person.does, person.email, person.password)


async def _signed_in(does: str, email: str, password: str) -> Person:
    request = auth_pb.LoginRequest(email=email, password=password, client_name="lockstep seed")
    tokens = await call_as_anybody(
        "auth", lambda channel: auth_grpc.AuthServiceStub(channel).Login(request)
    )
    return Person(does, email, password, tokens.user_id, bearer(tokens.token))


async def _offer(
    channel: grpc.aio.Channel, admin: Person, seller: Person
) -> list[catalog_pb.Product]:
    """Put the brand's products into the catalog, with pictures."""
    catalog = catalog_grpc.CatalogServiceStub(channel)
    category = await _category(catalog, admin)
    made = []
    for noun, colour, units in THINGS:
        product = catalog_pb.Product(
            name=f"{BRAND} hand-made {noun}, {colour}",
            description=TEXT,
            category_id=category,
            price=Money(units=units),
            stock=STOCK,
        )
        new = await catalog.CreateProduct(
            catalog_pb.CreateProductRequest(product=product), metadata=seller.proof
        )
        large, _ = await asyncio.to_thread(pictures_of, uuid4(), noun, colour)
        image = HttpBody(content_type="image/webp", data=large.data)
        request = catalog_pb.SetProductImageRequest(product_id=new.id, image=image)
        made.append(await catalog.SetProductImage(request, metadata=seller.proof))
    return made


async def _category(catalog: Any, admin: Person) -> str:
    found = await rows(catalog.ListCategories, catalog_pb.ListCategoriesRequest(), "categories")
    for each in found:
        if each.name == CATEGORY:
            return str(each.id)
    request = catalog_pb.CreateCategoryRequest(name=CATEGORY, description="From small workshops.")
    return str((await catalog.CreateCategory(request, metadata=admin.proof)).id)


async def _top_up(channel: grpc.aio.Channel, admin: Person, buyer: Person, units: int) -> None:
    request = wallet_pb.TopUpWalletRequest(
        user_id=buyer.id,
        transfer_id=str(uuid4()),
        amount=Money(units=units),
        reference="Welcome to the shop",
    )
    await wallet_grpc.WalletServiceStub(channel).TopUpWallet(request, metadata=admin.proof)


async def _buy(
    channel: grpc.aio.Channel, buyer: Person, products: list[catalog_pb.Product]
) -> None:
    """Order each product by itself."""
    cart, orders = cart_grpc.CartServiceStub(channel), order_grpc.OrderServiceStub(channel)
    for product in products:
        item = cart_pb.AddCartItemRequest(product_id=product.id, quantity=1)
        await cart.AddCartItem(item, metadata=buyer.proof)
        order = order_pb.PlaceOrderRequest(shipping_address=ADDRESS)
        await orders.PlaceOrder(order, metadata=buyer.proof)


def _phone() -> str:
    return f"+1555{secrets.randbelow(10**7):07}"
