"""A shop with people and things in it, and all of its pages by who sees them."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from services.commerce.domain.demo_pictures import pictures_of
from tests.e2e.web.api import Account, Api, price

PICTURED = {"Desk lamp": ("desk lamp", "rust"), "Teapot": ("teapot", "forest green")}
TEXT = "Made by hand, and tested at sea.\nWith a case."


@dataclass(frozen=True)
class Site:
    """The accounts, and what their pages are about."""

    shopper: Account
    seller: Account
    admin: Account
    product: str
    own_product: str
    order: str
    sold: str

    @property
    def for_anybody(self) -> tuple[str, ...]:
        """The pages that a guest sees."""
        return (
            *("/", "/products", f"/products/{self.product}", f"/products/{self.own_product}"),
            *("/products?q=zzzz", "/nope", "/cart", "/about", "/delivery"),
            *("/sign-up", "/sign-up/code", "/sign-in", "/reset", "/invitation"),
        )

    @property
    def for_shoppers(self) -> tuple[str, ...]:
        """The pages of somebody who buys."""
        return (
            *("/cart", "/checkout", "/orders", f"/orders/{self.order}", f"/orders/{self.sold}"),
            *("/wallet", "/profile", "/profile?part=sign-in", "/profile?part=delete"),
            *("/sessions", "/verify"),
        )

    @property
    def for_sellers(self) -> tuple[str, ...]:
        """The pages of somebody who sells."""
        return (
            *("/sell", "/sell/new", f"/sell/products/{self.own_product}", "/sell/sales"),
            *("/sell/sales?show=all", "/wallet", "/profile"),
        )

    @property
    def for_admins(self) -> tuple[str, ...]:
        """The pages of administration."""
        return (
            *(
                "/admin/orders",
                f"/admin/orders/{self.sold}",
                f"/admin/orders?product={self.product}",
            ),
            *("/admin/users", f"/admin/users/{self.shopper.id}", "/admin/invitations"),
            *("/admin/catalog", "/admin/catalog/new", f"/admin/catalog/{self.product}"),
            "/admin/categories",
        )

    @property
    def all(self) -> list[tuple[Account | None, tuple[str, ...]]]:
        """Every page, by who sees it."""
        return [
            (None, self.for_anybody),
            (self.shopper, self.for_shoppers),
            (self.seller, self.for_sellers),
            (self.admin, self.for_admins),
        ]


def furnish(api: Api, admin: Account) -> Site:
    """Make a shop in which every page has something to show."""
    shopper, seller = api.register(), api.brand()
    api.top_up(shopper, 900, by=admin)
    things = _instruments(api, admin)
    own = [_own_product(api, seller, name) for name in PICTURED]
    for product in (things[0], things[0], own[0]):
        api.add_to_cart(shopper, product["id"])
        api.call("POST", "/v1/orders", {"shippingAddress": "1 Mill Lane\nBath"}, by=shopper)
    sold, order, refunded = api.orders(shopper)
    api.call("POST", f"/v1/orders/{refunded['id']}:cancel", {}, by=shopper)
    api.add_to_cart(shopper, things[1]["id"], 1)
    api.add_to_cart(shopper, own[1]["id"], 2)
    return Site(
        *(shopper, seller, admin),
        *(things[0]["id"], own[0]["id"]),
        *(order["id"], sold["id"]),
    )


def _instruments(api: Api, admin: Account) -> list[Any]:
    category = api.category("Instruments", by=admin)
    things = [("Sextant", 120, 8), ("Astrolabe", 240, 3), ("Compass", 19, 0), ("Spyglass", 65, 9)]
    things += [(f"Brass ruler, {length} cm", length, 50) for length in range(10, 31)]
    described = {"categoryId": category, "description": TEXT}
    made = [
        described | {"name": name, "price": price(units, 95), "stock": stock}
        for name, units, stock in things
    ]
    return api.products(made, by=admin)


def _own_product(api: Api, seller: Account, name: str) -> Any:
    category = api.call("GET", "/v1/categories")["categories"][0]["id"]
    product = api.sell(category, name, units=45, by=seller)
    large, _ = pictures_of(uuid.uuid4(), *PICTURED[name])
    return api.upload(f"/v1/products/{product['id']}:setImage", large.data, by=seller)
