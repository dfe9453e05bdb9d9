"""Checkout, orders and the wallet."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.e2e.stack import Stack
from tests.e2e.web.api import Account, Api, price
from tests.e2e.web.conftest import PHONE, NewPerson
from tests.e2e.web.person import Person

pytestmark = [pytest.mark.browser, pytest.mark.processes]


@pytest.fixture(scope="module")
def lamp(api: Api, admin_account: Account) -> Any:
    """Make a product of 30 dollars."""
    category = api.category("Lamps", by=admin_account)
    return api.product(category, "Lamp", units=30, stock=1000, by=admin_account)


@pytest.fixture
def rich(api: Api, account: Account, admin_account: Account, lamp: Any) -> Account:
    """Return a customer with 100 dollars and a lamp in the cart."""
    api.top_up(account, 100, by=admin_account)
    api.add_to_cart(account, lamp["id"])
    return account


def test_a_double_click_places_one_order_which_can_be_taken_back(
    rich: Account, customer: Person, api: Api
) -> None:
    customer.visit("/cart")
    customer.follow("Checkout")
    customer.is_at("Checkout")
    payment = customer.page.get_by_label("Payment")
    expect(payment).to_contain_text("$100.00")
    expect(payment).to_contain_text("Left afterwards$70.00")
    customer.fill(Delivery_address="")
    customer.press("Pay $30.00")
    expect(customer.error_at("Delivery address")).to_contain_text("is required")
    customer.fill(Delivery_address="1 Analytical Row, London")
    customer.press("Pay $30.00", times=2)
    customer.is_at_an_order()
    expect(customer.page.get_by_label("Thank you")).to_contain_text(
        "Thank you! Your order is placed."
    )
    expect(customer.page.get_by_text("Paid", exact=True)).to_be_visible()
    expect(customer.page.get_by_role("link", name="Lamp")).to_be_visible()
    expect(customer.page.get_by_text("1 Analytical Row, London")).to_be_visible()
    assert len(api.orders(rich)) == 1
    assert api.balance(rich) == 70
    assert api.call("GET", "/v1/cart", by=rich)["items"] == []

    customer.visit("/wallet")
    expect(customer.page.get_by_label("Balance")).to_contain_text("$70.00")
    expect(customer.page.locator(".row").first).to_contain_text("\u2212$30.00Balance $70.00")
    expect(customer.page.locator(".row").nth(1)).to_contain_text("+$100.00Balance $100.00")
    expect(customer.page.locator(".statement-head")).to_contain_text("AmountBalance")
    expect(customer.page.locator(".statement-head")).to_be_visible()

    customer.visit("/orders")
    customer.page.locator(".row a").first.click()
    customer.press("Cancel the order")
    dialog = customer.page.get_by_role("dialog")
    expect(dialog).to_contain_text("$30.00 goes back to the wallet at once.")
    dialog.get_by_role("button", name="Cancel the order").dblclick()
    expect(customer.page.get_by_role("status").get_by_text("Refunded")).to_be_visible()
    assert api.balance(rich) == 100


def test_the_page_of_an_order_tells_its_steps(
    rich: Account, customer: Person, api: Api, admin_account: Account, lamp: Any
) -> None:
    shade = api.product(lamp["categoryId"], "Shade", units=20, by=admin_account)
    api.add_to_cart(rich, shade["id"])
    order = api.call("POST", "/v1/orders", {}, by=rich)
    path = f"/v1/orders/{order['id']}"
    customer.visit(f"/orders/{order['id']}")
    steps = customer.page.get_by_role("region", name="Progress").get_by_role("listitem")
    expect(steps).to_contain_text(["Order placed", "Payment received", "Waiting to be shipped"])
    expect(steps.nth(1)).to_contain_text("$50.00 from the wallet")
    expect(steps.last).to_contain_text("1 \u00d7 Lamp, 1 \u00d7 Shade")

    parcel = {"productIds": [lamp["id"]], "tracking": "PARCEL-9"}
    api.call("POST", f"{path}:fulfil", parcel, by=admin_account)
    customer.page.reload()
    expect(steps.nth(2)).to_contain_text("Parcel shipped")
    expect(steps.nth(2)).to_contain_text("1 \u00d7 LampTracking: PARCEL-9")
    expect(steps.last).to_contain_text("Waiting to be shipped1 \u00d7 Shade")

    api.call(
        "POST", f"{path}:cancel", {"items": [{"productId": shade["id"], "quantity": 1}]}, by=rich
    )
    customer.page.reload()
    expect(steps.last).to_contain_text("Cancelled")
    expect(steps.last).to_contain_text("Shade$20.00 went back to the wallet")
    expect(steps).to_have_count(4)
    expect(steps.locator("time")).to_have_count(4)
    paid = api.call("GET", path, by=rich)["payTime"]
    expect(steps.nth(1).locator("time")).to_have_attribute("datetime", paid)


def test_a_lost_reply_is_asked_for_again_and_places_one_order(
    rich: Account, customer: Person, api: Api
) -> None:
    customer.visit("/checkout")
    keys = customer.lose_the_first_reply("**/v1/orders")
    customer.press("Pay $30.00")
    expect(customer.notice()).to_contain_text("can't be reached")
    customer.press("Pay $30.00")
    customer.is_at_an_order()
    assert len(keys) == 2
    assert keys[0] == keys[1]
    assert len(api.orders(rich)) == 1
    assert api.balance(rich) == 70


def test_who_has_too_little_is_told_what_is_missing_and_pays_later(
    customer: Person, account: Account, api: Api, admin_account: Account, lamp: Any
) -> None:
    api.add_to_cart(account, lamp["id"])
    customer.visit("/checkout")
    expect(customer.page.get_by_role("heading", name="$30.00 are missing")).to_be_visible()
    expect(customer.button("Pay $30.00")).to_have_count(0)
    api.top_up(account, 30, by=admin_account)
    customer.follow("See the wallet")
    expect(customer.page.get_by_label("Balance")).to_contain_text("$30.00")
    customer.visit("/checkout")
    customer.press("Pay $30.00")
    customer.is_at_an_order()


def test_a_price_that_has_changed_is_told_before_anything_is_paid(
    customer: Person, account: Account, api: Api, admin_account: Account, lamp: Any
) -> None:
    api.top_up(account, 100, by=admin_account)
    candle = api.product(lamp["categoryId"], "Candle", units=5, by=admin_account)
    api.add_to_cart(account, candle["id"])
    customer.visit("/checkout")
    path, change = f"/v1/products/{candle['id']}", {"price": price(6)}
    api.call("PATCH", path, change, by=admin_account, updateMask="price")
    customer.press("Pay $5.00")
    expect(customer.notice()).to_contain_text("total of the cart has changed")
    assert api.balance(account) == 100
    customer.follow("Look at the cart")
    expect(customer.page.get_by_text("The price has changed since you added it.")).to_be_visible()


def test_a_stopped_profile_service_is_waited_for_and_nothing_is_paid_twice(
    rich: Account, customer: Person, api: Api, stack: Stack
) -> None:
    customer.visit("/checkout")
    with stack.stopped("profile"):
        customer.press("Pay $30.00")
        expect(customer.notice()).to_contain_text("nothing was ordered or charged", timeout=20_000)
        expect(customer.page.get_by_role("timer")).to_contain_text("Please wait")
    expect(customer.page.get_by_role("timer")).to_contain_text("You can try again now")
    customer.press("Pay $30.00")
    customer.is_at_an_order()
    assert api.balance(rich) == 70
    paid = [order for order in api.orders(rich) if order["state"] == "ORDER_STATE_PAID"]
    assert len(paid) == 1


def test_a_phone_is_enough_to_buy_something(
    new_person: NewPerson, account: Account, api: Api, admin_account: Account, lamp: Any
) -> None:
    api.top_up(account, 100, by=admin_account)
    person = new_person(account, size=PHONE)
    person.visit("/products?q=lamp")
    person.follow("Lamp")
    person.is_at("Lamp")
    person.press("Add to cart")
    person.page.get_by_label("Main").get_by_text("Cart").click()
    person.follow("Checkout")
    person.press("Pay $30.00")
    person.is_at_an_order()
    assert api.balance(account) == 70


def test_a_cart_shows_what_was_on_its_way_into_it(customer: Person, lamp: Any) -> None:
    customer.visit("/products?q=lamp")
    customer.follow("Lamp")
    customer.is_at("Lamp")
    with customer.unanswered("**/v1/cart/items"):
        customer.press("Add to cart")
        customer.page.get_by_label("Main").get_by_text("Cart").click()
        customer.is_at("Cart")
    customer.follow("Checkout")
    customer.is_at("Checkout")


def test_what_can_not_be_loaded_can_be_tried_again(customer: Person) -> None:
    customer.page.route("**/v1/wallets/**", lambda route: route.abort())
    customer.visit("/wallet")
    expect(customer.notice().first).to_contain_text("can't be reached")
    customer.page.unroute("**/v1/wallets/**")
    customer.button("Try again").first.click()
    expect(customer.page.get_by_label("Balance")).to_contain_text("$0.00")
