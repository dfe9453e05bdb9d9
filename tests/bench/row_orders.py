"""Carts, orders and wallets: many at the same thing, and orders of distinct users."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial

from lockstep.commerce.v1 import cart_service_pb2 as cart_pb
from lockstep.commerce.v1 import catalog_service_pb2 as catalog_pb
from lockstep.commerce.v1 import order_service_pb2 as order_pb
from lockstep.profile.v1 import wallet_service_pb2 as wallet_pb
from lockstep_clients import LockstepError

from services.kernel.ids import new_id
from tests.bench.lab import CHEAP, Lab, p99, together
from tests.bench.people import Clients, Person, money
from tests.bench.report import Finding, Ratio, at_least

CALLERS, LAST_ITEM_CALLERS = 64, 50
P99_SECONDS_MAX = 1.0
ORDERS_PER_SECOND = 100.0
FUNDS = 10**8


async def contention(lab: Lab) -> list[Finding]:
    """Let many callers use one cart, one item, one wallet: all sums must be right."""
    rounds = 2 if lab.is_quick else 5
    async with lab.running(**CHEAP) as to:
        admin = await lab.admin(to)
        people = await to.people(CALLERS)
        await to.fund(admin, people, FUNDS)
        return [
            await _one_cart(lab, to, people[0], rounds),
            await _last_item(lab, to, admin, people[:LAST_ITEM_CALLERS], rounds),
            await _one_wallet(lab, to, people[0], rounds),
            await _one_seller(lab, to, people, rounds),
        ]


async def orders(lab: Lab) -> list[Finding]:
    """Let distinct users place orders, in rounds; fill their carts before each."""
    rounds = 2 if lab.is_quick else 5
    async with lab.running(**CHEAP) as to:
        admin = await lab.admin(to)
        people = await to.people(CALLERS * 2)
        await to.fund(admin, people, FUNDS)
        # Each buys another product: buyers of the same one wait for each other.
        pairs = list(zip(people, await products(to, admin, len(people)), strict=True))
        rates, times = [], list[float]()
        for turn in range(rounds + 1):
            lab.say(f"orders, {turn} of {rounds}")
            await together([partial(add, to, *pair) for pair in pairs])
            began = time.perf_counter()
            took, came = await together([partial(order, to, person) for person in people])
            rate = len(people) / (time.perf_counter() - began)
            raise_any(came)
            if turn:  # the first round warms up
                rates.append(rate)
                times += took
    ratio = Ratio([rate / ORDERS_PER_SECOND for rate in rates])
    measured = (
        f"{ratio.value * ORDERS_PER_SECOND:.0f}/s, p99 {1000 * p99(times):.0f} ms, "
        f"{len(people)} users at once"
    )
    found = at_least("orders", "PlaceOrder end to end, distinct users", measured, ratio, 1.0)
    return [found]


async def _one_cart(lab: Lab, to: Clients, person: Person, rounds: int) -> Finding:
    product = (await to.catalog.ListProducts(catalog_pb.ListProductsRequest())).products[0].id
    times: list[float] = []
    for turn in range(rounds):
        lab.say(f"one cart, {turn + 1} of {rounds}")
        took, came = await together([partial(add, to, person, product)] * CALLERS)
        raise_any(came)
        times += took
    cart = await to.cart.GetCart(cart_pb.GetCartRequest(), metadata=person.metadata)
    right = [item.quantity for item in cart.items] == [CALLERS * rounds]
    await to.cart.ClearCart(cart_pb.ClearCartRequest(), metadata=person.metadata)
    return _judged(f"{CALLERS} clients add to one cart", times, right=right)


async def _last_item(
    lab: Lab, to: Clients, admin: Person, people: Sequence[Person], rounds: int
) -> Finding:
    times: list[float] = []
    right = True
    for turn in range(rounds):
        lab.say(f"the last item, {turn + 1} of {rounds}")
        (product,) = await products(to, admin, 1, stock=1)
        await together([partial(add, to, person, product) for person in people])
        took, came = await together([partial(order, to, person) for person in people])
        times += took
        sold = [each for each in came if not isinstance(each, LockstepError)]
        refused = {str(each.reason) for each in came if isinstance(each, LockstepError)}
        left = await to.catalog.GetProduct(catalog_pb.GetProductRequest(product_id=product))
        right &= len(sold) == 1 and refused == {"NO_STOCK"} and left.stock == 0
        await together([partial(_clear, to, person) for person in people])
    return _judged(f"{LAST_ITEM_CALLERS} buy the last item", times, right=right)


async def _one_wallet(lab: Lab, to: Clients, person: Person, rounds: int) -> Finding:
    async def balance() -> int:
        request = wallet_pb.GetWalletRequest(user_id=person.id)
        amount = (await to.wallets.GetWallet(request, metadata=person.metadata)).balance
        return amount.units * 100 + amount.nanos // 10**7

    before = await balance()
    times: list[float] = []
    for turn in range(rounds):
        lab.say(f"one wallet, {turn + 1} of {rounds}")
        took, came = await together([partial(_debit, to, person)] * CALLERS)
        raise_any(came)
        times += took
    right = before - await balance() == CALLERS * rounds
    return _judged(f"{CALLERS} debits of one wallet", times, right=right)


async def _one_seller(lab: Lab, to: Clients, people: Sequence[Person], rounds: int) -> Finding:
    """Let many buy from one brand: each another product, but all shares go to one account."""
    brand = await to.brand()
    sold = [await _product_of(to, brand) for _ in people]
    times: list[float] = []
    for turn in range(rounds):
        lab.say(f"one seller, {turn + 1} of {rounds}")
        pairs = zip(people, sold, strict=True)
        await together([partial(add, to, person, product) for person, product in pairs])
        took, came = await together([partial(order, to, person) for person in people])
        raise_any(came)
        times += took
    request = wallet_pb.GetWalletRequest(user_id=brand.id)
    pending = (await to.wallets.GetWallet(request, metadata=brand.metadata)).pending
    right = pending.units == len(people) * rounds
    return _judged(f"{len(people)} buy from one seller", times, right=right)


async def _product_of(to: Clients, brand: Person) -> str:
    page = await to.catalog.ListCategories(catalog_pb.ListCategoriesRequest())
    product = catalog_pb.Product(
        category_id=page.categories[0].id, name="Wanted", price=money(100), stock=10**6
    )
    request = catalog_pb.CreateProductRequest(product=product)
    return (await to.catalog.CreateProduct(request, metadata=brand.metadata)).id


def _judged(figure: str, times: Sequence[float], *, right: bool) -> Finding:
    seconds = p99(times)
    return Finding(
        row="contention",
        figure=figure,
        measured=f"p99 {1000 * seconds:.0f} ms, " + ("all right" if right else "WRONG"),
        ratio="",
        goal="all right, p99 < 1 s",
        is_met=right and seconds < P99_SECONDS_MAX,
    )


async def products(to: Clients, admin: Person, number: int, *, stock: int = 10**6) -> list[str]:
    page = await to.catalog.ListCategories(catalog_pb.ListCategoriesRequest())
    product = catalog_pb.Product(
        category_id=page.categories[0].id, name="Wanted", price=money(100), stock=stock
    )
    made = await to.catalog.BatchCreateProducts(
        catalog_pb.BatchCreateProductsRequest(products=[product] * number),
        metadata=admin.metadata,
    )
    return [each.id for each in made.products]


async def add(to: Clients, person: Person, product: str) -> None:
    request = cart_pb.AddCartItemRequest(product_id=product, quantity=1)
    await to.cart.AddCartItem(request, metadata=person.metadata)


async def _clear(to: Clients, person: Person) -> None:
    await to.cart.ClearCart(cart_pb.ClearCartRequest(), metadata=person.metadata)


async def order(to: Clients, person: Person) -> str:
    """Place an order of what is in the cart, and return its id."""
    placed = await to.orders.PlaceOrder(order_pb.PlaceOrderRequest(), metadata=person.metadata)
    assert placed.state == order_pb.ORDER_STATE_PAID
    return placed.id


async def _debit(to: Clients, person: Person) -> None:
    request = wallet_pb.DebitWalletRequest(
        transfer_id=str(new_id()), user_id=person.id, amount=money(1), reference=str(new_id())
    )
    request.not_after.FromDatetime(datetime.now(UTC) + timedelta(minutes=1))
    transfer = await to.wallets_as_commerce.DebitWallet(request)
    assert transfer.state == wallet_pb.TRANSFER_STATE_POSTED


def raise_any(came: Sequence[object]) -> None:
    for each in came:
        if isinstance(each, BaseException):
            raise each
