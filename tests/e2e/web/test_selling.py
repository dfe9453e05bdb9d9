"""The life of a sale, as a seller, a shopper and an administrator click it."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.e2e.web.api import Account, Api
from tests.e2e.web.conftest import DESKTOP, PHONE, NewPerson
from tests.e2e.web.person import Person

pytestmark = [pytest.mark.browser, pytest.mark.processes]

TRIES = 20


@pytest.fixture(scope="module")
def pottery(api: Api, admin_account: Account) -> str:
    """Make a category."""
    return api.category("Pottery", by=admin_account)


@pytest.fixture
def brand_account(api: Api) -> Account:
    """Register a brand."""
    return api.brand()


def file_of(colour: str) -> Any:
    """Return a picture as a file to choose."""
    out = io.BytesIO()
    Image.new("RGB", (640, 480), colour).save(out, "PNG")
    return {"name": "jug.png", "mimeType": "image/png", "buffer": out.getvalue()}


def grouped(order: Any) -> str:
    """Return the number of an order as pages show it."""
    return f"{order['number'][:4]}-{order['number'][4:]}"


def make(seller: Person, name: str, category: str) -> None:
    """Make a product with a picture, and add one to its stock."""
    seller.visit("/sell")
    seller.follow("Add a product")
    seller.fill(Name=name, Description="For milk.", Price_in_USD="20", In_stock="5")
    seller.field("Category").select_option(category)
    seller.field("Picture").set_input_files(file_of("navy"))
    expect(seller.page.get_by_role("img", name="The picture that was chosen")).to_be_visible()
    seller.press("Create the product")
    seller.is_at("Edit product")
    expect(seller.page.locator("image-field img.shown")).to_have_count(1)
    seller.visit("/sell")
    seller.press(f"One more of {name}")
    expect(seller.page.get_by_text("6 pieces")).to_be_visible()


def put_money_in(admin: Person, account: Account) -> None:
    """Put 100 dollars into a wallet."""
    admin.visit(f"/admin/users/{account.id}")
    admin.press("Put money in")
    admin.fill(Amount="100", Note_for_the_user="Welcome")
    admin.press("Put in")
    expect(admin.news(f"$100.00 is in the wallet of {account.email}.")).to_be_visible()


def buy_two(buyer: Person, name: str) -> None:
    """Find a product and order two."""
    buyer.visit("/")
    buyer.field("Search").fill(name)
    buyer.field("Search").press("Enter")
    buyer.follow(name)
    expect(buyer.page.get_by_role("link", name="Engines Ltd")).to_be_visible()
    buyer.press(f"One more: Quantity of {name}")
    buyer.press("Add to cart")
    buyer.follow("Go to the cart")
    buyer.follow("Checkout")
    buyer.press("Pay $40.00")
    buyer.is_at_an_order()
    expect(buyer.page.get_by_text("Not shipped yet", exact=True)).to_be_visible()


def ship(seller: Person, name: str) -> None:
    """Ship what was sold, and see the money."""
    seller.visit("/wallet")
    expect(seller.page.get_by_label("Balance")).to_contain_text("$40.00Shares of sales")
    seller.visit("/sell/sales")
    sale = seller.page.locator(".sale").filter(has_text=name)
    expect(sale).to_contain_text("12 St James's Square, London")
    seller.fill(Tracking_number="PARCEL-7")
    seller.press("Mark as shipped")
    expect(sale).to_have_count(0)


def sees_the_money(seller: Person) -> None:
    """Expect that the share can be spent, soon after the parcel left."""
    seller.visit("/wallet")
    for _ in range(TRIES):
        expect(seller.page.locator(".figures")).to_be_visible()
        if "Available$40.00" in seller.page.get_by_label("Balance").inner_text().replace("\n", ""):
            return
        seller.page.reload()
    raise AssertionError("the share is still pending")


def refund_one(seller: Person, name: str) -> None:
    """Refund one of two that came back."""
    seller.visit("/sell/sales?show=shipped")
    seller.press(f"Refund a return {name}")
    seller.press(f"One less: Quantity of {name}")
    dialog = seller.page.get_by_role("dialog")
    expect(dialog).to_contain_text("Back: $20.00")
    seller.fill(Reason="One was chipped")
    dialog.get_by_role("button", name="Refund a return").click()
    expect(seller.page.get_by_text("1 of 2 returned")).to_be_visible()


@dataclass
class Market:
    """Somebody who sells, somebody who buys, and their accounts."""

    seller: Person
    buyer: Person
    of_seller: Account
    of_buyer: Account


@pytest.fixture(params=[DESKTOP, PHONE], ids=["wide", "phone"])
def market(
    request: pytest.FixtureRequest, new_person: NewPerson, account: Account, brand_account: Account
) -> Market:
    """Let a seller and a buyer arrive, at a desk or with phones."""
    size = request.param
    seller, buyer = new_person(brand_account, size=size), new_person(account, size=size)
    return Market(seller, buyer, brand_account, account)


def test_a_seller_sells_ships_and_refunds_one_of_two(
    market: Market, api: Api, admin: Person, pottery: str
) -> None:
    seller, buyer = market.seller, market.buyer
    name = f"Blue jug of {market.of_seller.email.partition('@')[0]}"
    make(seller, name, pottery)
    put_money_in(admin, market.of_buyer)
    buy_two(buyer, name)
    ship(seller, name)
    sees_the_money(seller)
    buyer.page.reload()
    expect(buyer.page.get_by_text("Tracking: PARCEL-7")).to_be_visible()
    refund_one(seller, name)
    buyer.page.reload()
    expect(buyer.page.get_by_text("1 of 2 returned")).to_be_visible()
    expect(buyer.page.get_by_text("One was chipped")).to_be_visible()
    assert api.balance(market.of_buyer) == 80
    assert api.balance(market.of_seller) == 20
    buyer.visit("/wallet")
    expect(buyer.page.locator(".row").first).to_contain_text("+$20.00")
    expect(buyer.page.get_by_text("Welcome")).to_be_visible()


def test_a_buyer_cancels_one_of_two_and_prints_the_receipt(
    customer: Person, account: Account, api: Api, admin_account: Account, pottery: str
) -> None:
    bowl = api.product(pottery, "Bowl", units=15, by=admin_account)
    api.top_up(account, 50, by=admin_account)
    api.add_to_cart(account, bowl["id"], 2)
    order = api.call("POST", "/v1/orders", {"shippingAddress": "Here"}, by=account)
    customer.visit("/orders")
    number = grouped(order)
    customer.follow(number)
    customer.press("Cancel Bowl")
    customer.press("One less: Quantity of Bowl")
    dialog = customer.page.get_by_role("dialog")
    expect(dialog).to_contain_text("Back: $15.00")
    dialog.get_by_role("button", name="Cancel", exact=True).click()
    expect(customer.page.get_by_text("1 of 2 cancelled")).to_be_visible()
    assert api.balance(account) == 35

    advice = customer.page.get_by_text("Each seller ships their own part.")
    expect(advice).to_be_visible()
    customer.page.emulate_media(media="print")
    expect(advice).to_be_hidden()
    expect(customer.page.get_by_text("Payment received")).to_be_visible()
    expect(customer.page.locator("site-header")).to_be_hidden()
    expect(customer.button("Print the receipt")).to_be_hidden()
    expect(customer.page.get_by_text(f"Order {number}")).to_be_visible()
    expect(customer.page.get_by_text("Refunded", exact=True)).to_be_visible()


def test_an_administrator_ships_an_order_and_takes_a_top_up_back(
    admin: Person, account: Account, api: Api, admin_account: Account, pottery: str
) -> None:
    vase = api.product(pottery, "Vase", units=10, by=admin_account)
    api.top_up(account, 30, by=admin_account)
    api.add_to_cart(account, vase["id"])
    order = api.call("POST", "/v1/orders", {}, by=account)
    admin.visit("/admin/orders")
    admin.follow(grouped(order))
    admin.press("Mark as shipped")
    expect(admin.page.get_by_role("status").get_by_text("Shipped", exact=True)).to_be_visible()

    admin.visit(f"/admin/users/{account.id}")
    admin.press("Take back $30.00")
    admin.fill(Reason="A mistake")
    admin.press("Take back")
    expect(admin.notice()).to_contain_text("The user has spent it.")
    admin.press("Close")
    assert api.balance(account) == 20


def test_a_product_in_a_list_names_its_brand(
    person: Person, api: Api, brand_account: Account, pottery: str
) -> None:
    for name in ("Salt pig", "Salt cellar"):
        api.sell(pottery, name, units=12, by=brand_account)
    with person.requests("GET", "/v1/brands:batchGet") as asked:
        person.visit("/products?q=salt")
        lines = person.page.locator(".product-card .category")
        expect(lines).to_have_text(["Engines Ltd · Pottery"] * 2)
    assert len(asked) == 1
    person.follow("Salt pig")
    expect(person.page.get_by_role("link", name="Engines Ltd")).to_be_visible()


def test_a_second_list_asks_once_for_all_of_its_brands(
    person: Person, api: Api, pottery: str
) -> None:
    for name in ("Salt dish", "Trivet", "Trivet", "Trivet"):
        api.sell(pottery, name, units=12, by=api.brand())
    lines = person.page.locator(".product-card .category")
    person.visit("/products?q=salt dish")
    expect(lines).to_have_text(["Engines Ltd · Pottery"])
    with person.requests("GET", "/v1/brands:batchGet") as asked:
        person.visit("/products?q=trivet")
        expect(lines).to_have_text(["Engines Ltd · Pottery"] * 3)
    assert len(asked) == 1


def test_a_brand_that_is_renamed_has_its_new_name_in_the_shop_at_once(
    new_person: NewPerson, api: Api, brand_account: Account, pottery: str
) -> None:
    product = api.sell(pottery, "Butter dish", units=12, by=brand_account)
    seller = new_person(brand_account)
    seller.visit(f"/products/{product['id']}")
    expect(seller.page.get_by_role("link", name="Engines Ltd")).to_be_visible()
    seller.visit("/profile")
    seller.fill(Name="Engines and Sons")
    seller.press("Save the brand")
    expect(seller.news("The brand is saved.")).to_be_visible()
    seller.visit(f"/products/{product['id']}")
    expect(seller.page.get_by_role("link", name="Engines and Sons")).to_be_visible()
    seller.visit("/products?q=butter dish")
    line = seller.page.locator(".product-card .category")
    expect(line).to_have_text("Engines and Sons · Pottery")


def test_what_the_shelf_of_a_seller_shows_is_left_out_of_the_next_one(
    person: Person, api: Api, brand_account: Account, admin_account: Account
) -> None:
    category = api.category("Weaving", by=admin_account)
    loom, _ = (api.sell(category, name, units=90, by=brand_account) for name in ("Loom", "Shuttle"))
    of_seller, others = (
        person.page.locator("section").filter(has=person.page.get_by_role("heading", name=title))
        for title in ("More from this seller", "More in Weaving")
    )
    person.visit(f"/products/{loom['id']}")
    expect(of_seller.locator(".product-name")).to_have_text(["Shuttle"])
    expect(others).to_be_hidden()
    api.product(category, "Yarn", units=5, by=admin_account)
    person.page.reload()
    expect(of_seller.locator(".product-name")).to_have_text(["Shuttle"])
    expect(others.locator(".product-name")).to_have_text(["Yarn"])


def test_an_empty_wallet_says_how_money_comes_into_it(
    new_person: NewPerson, brand_account: Account, customer: Person, admin: Person
) -> None:
    seller = new_person(brand_account)
    seller.visit("/wallet")
    expect(
        seller.page.get_by_text("Your share of a sale is pending once it is paid.")
    ).to_be_visible()
    expect(seller.page.get_by_text("Ask the shop")).to_have_count(0)
    seller.follow("See your sales")
    seller.is_at("Sales")
    customer.visit("/wallet")
    expect(customer.page.get_by_text("Ask the shop to add money")).to_be_visible()
    admin.visit(f"/admin/users/{brand_account.id}")
    expect(admin.page.get_by_text("What is put in, paid, refunded")).to_be_visible()
    expect(admin.page.get_by_text("Ask the shop")).to_have_count(0)


def test_what_belongs_to_another_seller_can_not_be_edited(
    new_person: NewPerson, brand_account: Account, api: Api, admin_account: Account, pottery: str
) -> None:
    plate = api.product(pottery, "Plate", units=10, by=admin_account)
    seller = new_person(brand_account)
    seller.page.goto(f"/#/sell/products/{plate['id']}")
    expect(seller.page.get_by_role("heading", name="We can't find that")).to_be_visible()


def test_a_removal_that_fails_is_told(
    admin: Person, api: Api, admin_account: Account, pottery: str
) -> None:
    tureen = api.product(pottery, "Tureen", units=10, by=admin_account)
    admin.visit(f"/admin/catalog/{tureen['id']}")
    admin.page.route("**/v1/products/*", lambda route: route.abort())
    admin.press("Remove")
    admin.press("Remove it")
    expect(admin.news("The shop can't be reached.")).to_be_visible()
    admin.page.unroute("**/v1/products/*")
    admin.press("Remove")
    admin.press("Remove it")
    expect(admin.news("Tureen is removed.")).to_be_visible()


def test_an_account_with_money_names_what_is_lost(
    customer: Person, account: Account, api: Api, admin_account: Account
) -> None:
    api.top_up(account, 7, by=admin_account)
    customer.visit("/profile?part=delete")
    customer.press("Delete the account")
    dialog = customer.page.get_by_role("dialog")
    expect(dialog).to_contain_text("$7.00 in the wallet will be lost.")
    customer.press("Delete it")
    expect(customer.notice()).to_contain_text("Tick the box")
    customer.page.get_by_label("I give up $7.00 in the wallet.").check()
    customer.press("Delete it")
    expect(customer.news("The account is deleted.")).to_be_visible()
    customer.is_signed_out()
