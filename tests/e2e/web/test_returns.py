"""A page that is shown again: it is there at once, and shows what has changed meanwhile."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.e2e.web.api import Account, Api, price
from tests.e2e.web.person import Person

pytestmark = [pytest.mark.browser, pytest.mark.processes]

LIST = "**/v1/products?*"
ALL = "**/v1/**"
FIRST_CARD = "document.querySelector('.product-card')"


@pytest.fixture
def vases(api: Api, admin_account: Account) -> list[Any]:
    """Make three products that a search of their own finds."""
    word = f"Vase{uuid.uuid4().hex[:8]}"
    category = api.call("GET", "/v1/categories")["categories"]
    category_id = category[0]["id"] if category else api.category("Vases", by=admin_account)
    return [
        api.product(category_id, f"{word} {n}", units=10 + n, by=admin_account) for n in range(3)
    ]


def search(vases: list[Any]) -> str:
    return f"/products?q={vases[0]['name'].split()[0]}&sort=name"


def change(api: Api, product: Any, admin: Account, **fields: Any) -> None:
    """Change a product behind the back of those who see it."""
    path = f"/v1/products/{product['id']}"
    api.call("PATCH", path, fields, by=admin, updateMask=",".join(fields))


@contextmanager
def held(person: Person, kind: str = LIST) -> Iterator[None]:
    """Let answers wait, of lists of products at least; one must be asked for."""
    with person.unanswered(kind), person.page.expect_request(kind):
        yield


def come_back(person: Person) -> None:
    """Come back to a page that a browser has kept whole; the one of the tests keeps none."""
    person.page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")


def test_a_list_is_there_at_once_and_then_shows_what_has_changed(
    person: Person, api: Api, admin_account: Account, vases: list[Any]
) -> None:
    first, second, third = vases
    person.visit(search(vases))
    cards = person.page.locator(".product-card")
    expect(cards).to_have_count(3)
    person.follow(second["name"])
    person.is_at(second["name"])
    change(api, second, admin_account, price=price(77))
    api.call("DELETE", f"/v1/products/{third['id']}", by=admin_account)
    with held(person):
        person.page.go_back()
        person.is_at("Products")
        expect(cards).to_have_count(3)
        expect(person.page.locator(".bone")).to_have_count(0)
        link = cards.nth(1).get_by_role("link")
        link.focus()
        person.page.evaluate(f"window.first = {FIRST_CARD}")
    expect(cards).to_have_count(2)
    expect(cards.nth(1)).to_contain_text("$77.00")
    expect(person.page.get_by_text("2 found", exact=True)).to_be_visible()
    expect(link).to_be_focused()
    assert person.page.evaluate(f"window.first === {FIRST_CARD}")
    expect(cards.nth(0)).to_contain_text(first["name"])


def test_a_new_product_takes_its_place_in_a_list_that_is_shown_again(
    person: Person, api: Api, admin_account: Account, vases: list[Any]
) -> None:
    person.visit(search(vases))
    cards = person.page.locator(".product-card")
    expect(cards).to_have_count(3)
    api.product(vases[0]["categoryId"], f"{vases[0]['name']} a", units=9, by=admin_account)
    come_back(person)
    expect(cards).to_have_count(4)
    expect(cards.nth(1)).to_contain_text(f"{vases[0]['name']} a")


def test_a_list_without_a_connection_stays_as_it_was(person: Person, vases: list[Any]) -> None:
    person.visit(search(vases))
    person.follow(vases[1]["name"])
    person.is_at(vases[1]["name"])
    person.page.route(LIST, lambda route: route.abort())
    with person.page.expect_event("requestfailed"):
        person.page.go_back()
    person.is_at("Products")
    expect(person.page.locator(".product-card")).to_have_count(3)
    expect(person.page.locator(".failed")).to_have_count(0)


def test_a_product_that_is_shown_again_has_its_new_price(
    person: Person, api: Api, admin_account: Account, vases: list[Any]
) -> None:
    person.visit(f"/products/{vases[0]['id']}")
    change(api, vases[0], admin_account, price=price(88))
    come_back(person)
    expect(person.page.locator(".price-large")).to_have_text("$88.00")


def test_an_order_that_is_shown_again_has_its_parcel(
    customer: Person, account: Account, api: Api, admin_account: Account, vases: list[Any]
) -> None:
    api.top_up(account, 100, by=admin_account)
    api.add_to_cart(account, vases[0]["id"])
    order = api.call("POST", "/v1/orders", {}, by=account)
    customer.visit(f"/orders/{order['id']}")
    api.call("POST", f"/v1/orders/{order['id']}:fulfil", {}, by=admin_account)
    come_back(customer)
    expect(customer.page.get_by_text("Parcel shipped")).to_be_visible()


def test_the_start_and_a_product_are_there_at_once_on_the_way_back(
    person: Person, api: Api, admin_account: Account, vases: list[Any]
) -> None:
    product, bones = vases[0], person.page.locator(".bone")
    person.visit("/")
    expect(bones).to_have_count(0)
    person.page.mouse.wheel(0, 200)
    person.page.wait_for_function("scrollY > 0")
    place = person.page.evaluate("scrollY")
    person.visit(f"/products/{product['id']}")
    expect(bones).to_have_count(0)
    person.visit("/about")
    change(api, product, admin_account, price=price(66))
    with held(person, ALL):
        person.page.go_back()
        person.is_at(product["name"])
        expect(person.page.locator(".price-large")).to_have_text("$10.00")
        expect(person.page).to_have_title(re.compile(f"^{product['name']}"))
        expect(bones).to_have_count(0)
    expect(person.page.locator(".price-large")).to_have_text("$66.00")
    with held(person, ALL):
        person.page.go_back()
        person.is_at("Good things, made well")
        expect(bones).to_have_count(0)
        person.page.wait_for_function("place => scrollY === place", arg=place)


def test_a_product_that_is_gone_on_the_way_back_is_not_shown_any_more(
    person: Person, api: Api, admin_account: Account, vases: list[Any]
) -> None:
    person.visit(f"/products/{vases[0]['id']}")
    person.visit("/about")
    api.call("DELETE", f"/v1/products/{vases[0]['id']}", by=admin_account)
    person.page.go_back()
    expect(person.page.get_by_role("heading", name="We can't find that")).to_be_visible()


def test_what_somebody_has_seen_is_not_for_the_next_one(
    customer: Person, account: Account, api: Api, admin_account: Account, vases: list[Any]
) -> None:
    api.top_up(account, 100, by=admin_account)
    api.add_to_cart(account, vases[0]["id"])
    number = api.call("POST", "/v1/orders", {}, by=account)["number"]
    customer.visit("/orders")
    shown = customer.page.get_by_text(f"{number[:4]}-{number[4:]}")
    expect(shown).to_be_visible()
    customer.sign_out()
    other = api.register()
    customer.visit("/sign-in")
    customer.sign_in(other.email, other.password)
    customer.is_signed_in()
    with held(customer, ALL):
        while "#/orders" not in customer.page.url:
            customer.page.go_back()
        customer.is_at("Orders")
        assert shown.count() == 0
    expect(customer.page.get_by_text("No orders yet")).to_be_visible()
