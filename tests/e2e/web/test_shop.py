"""Categories, products and the cart."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.e2e.web.api import Account, Api, price
from tests.e2e.web.person import Person

pytestmark = [pytest.mark.browser, pytest.mark.processes]

MANY = 60


@pytest.fixture(scope="module")
def kitchen(api: Api, admin_account: Account) -> str:
    """Make a category with many products, from 1 to 60 dollars."""
    category = api.category("Kettles", by=admin_account)
    api.products(
        [
            {
                "categoryId": category,
                "name": f"Kettle {number:02d}",
                "price": price(number, 99),
                "stock": 100,
            }
            for number in range(1, MANY + 1)
        ],
        by=admin_account,
    )
    return category


@pytest.fixture(scope="module")
def hundred(api: Api, admin_account: Account) -> list[str]:
    """Make as many products as a cart holds."""
    category = api.category("Beads", by=admin_account)
    return [
        each["id"]
        for each in api.products(
            [
                {"categoryId": category, "name": f"Bead {n}", "price": price(1), "stock": 9}
                for n in range(100)
            ],
            by=admin_account,
        )
    ]


@pytest.fixture(scope="module")
def things(api: Api, admin_account: Account) -> list[Any]:
    """Make two products for carts."""
    category = api.category("Garden", by=admin_account)
    return [
        api.product(category, name, units=10, stock=20_000, by=admin_account)
        for name in ("Spade", "Rake")
    ]


def names(person: Person) -> list[str]:
    return person.page.locator(".product-card h2").all_inner_texts()


def test_an_administrator_fills_the_catalog_and_mends_it(admin: Person, person: Person) -> None:
    admin.visit("/admin/categories")
    category = admin.page.locator("section").filter(has_text="New category")
    category.get_by_label("Name", exact=True).fill("Books")
    admin.press("Create the category")
    expect(admin.news("The category Books is made.")).to_be_visible()
    category.get_by_label("Name", exact=True).fill("books")
    admin.press("Create the category")
    expect(category.locator(".field-error").first).to_contain_text("has this name")

    admin.visit("/admin/catalog/new")
    admin.fill(Name="On Computable Numbers", Price_in_USD="12.345", In_stock="3")
    admin.field("Category").select_option("Books")
    admin.press("Create the product")
    expect(admin.error_at("Price in USD")).to_contain_text("must be a plain amount such as 9.99")
    admin.fill(Price_in_USD="12.34")
    admin.press("Create the product", times=2)
    expect(admin.news("The product On Computable Numbers is made.")).to_be_visible()
    admin.is_at("Edit product")
    admin.fill(Price_in_USD="13.40")
    expect(admin.page.get_by_text("There are changes that are not saved.")).to_be_visible()
    admin.press("Save")
    expect(admin.news("Saved.")).to_be_visible()

    person.visit("/products?q=computable")
    person.follow("On Computable Numbers")
    person.is_at("On Computable Numbers")
    expect(person.page.get_by_text("$13.40")).to_be_visible()
    expect(person.page.get_by_role("link", name="Books", exact=True)).to_be_visible()
    expect(person.page.get_by_text("Only 3 left")).to_be_visible()

    admin.visit("/admin/catalog?q=computable")
    admin.press("One less of On Computable Numbers")
    expect(admin.page.get_by_text("2 pieces")).to_be_visible()
    expect(admin.button("One less of On Computable Numbers")).to_be_focused()
    admin.follow("On Computable Numbers")
    admin.press("Remove")
    admin.press("Remove it")
    expect(admin.news("On Computable Numbers is removed.")).to_be_visible()
    person.page.reload()
    expect(person.page.get_by_role("heading", name="We can't find that")).to_be_visible()


def test_only_an_administrator_sees_administration(customer: Person) -> None:
    for path in ("/admin/users", "/sell"):
        customer.visit(path)
        customer.is_at("Good things, made well")


def test_products_are_searched_filtered_and_sorted(person: Person, kitchen: str) -> None:
    person.visit("/products")
    person.fill(Search="kettle 0")
    person.field("Search").press("Enter")
    expect(person.page.get_by_text("9 found", exact=True)).to_be_visible()
    person.follow("Remove the filter “kettle 0”")
    expect(person.page.get_by_text("9 found", exact=True)).to_have_count(0)
    person.field("Category").select_option("Kettles")
    person.fill(Price_from="5", Price_to="8.50")
    expect(person.page.get_by_text("3 found", exact=True)).to_be_visible()
    person.field("Sort").select_option("Dearest first")
    expect(person.page.locator(".product-card h2").first).to_have_text("Kettle 07")
    assert names(person) == ["Kettle 07", "Kettle 06", "Kettle 05"]
    assert kitchen in person.page.url
    person.page.reload()
    expect(person.page.locator(".product-card h2").first).to_have_text("Kettle 07")
    expect(person.field("Category")).to_have_value(kitchen)


def test_a_price_range_that_is_none_is_told_at_its_field(person: Person) -> None:
    person.visit("/products")
    with person.requests("GET", "/v1/products") as sent:
        person.fill(Price_from="abc")
        expect(person.error_at("Price from")).to_contain_text("must be a plain amount")
        person.fill(Price_from="10", Price_to="5")
        expect(person.error_at("Price to")).to_contain_text("must not be below the lowest price")
    assert not any("maxPrice=5" in request.url for request in sent)
    expect(person.page.locator(".product-card")).to_have_count(0)


@pytest.mark.usefixtures("kitchen")
def test_no_match_says_so(person: Person) -> None:
    person.visit("/products?q=nosuchthing")
    expect(person.page.get_by_role("heading", name="Nothing found")).to_be_visible()


@pytest.mark.usefixtures("kitchen")
def test_the_list_loads_on_and_keeps_its_place_on_the_way_back(person: Person) -> None:
    person.visit("/products?q=kettle&sort=name")
    cards = person.page.locator(".product-card")
    for _ in range(4):
        cards.last.scroll_into_view_if_needed()
        if cards.count() == MANY:
            break
        person.page.mouse.wheel(0, 10_000)
        expect(cards).not_to_have_count(24)
    expect(cards).to_have_count(MANY)
    assert names(person) == sorted(names(person))
    cards.nth(45).scroll_into_view_if_needed()
    place = person.page.evaluate("scrollY")
    assert place > 0
    person.follow("Kettle 46")
    person.is_at("Kettle 46")
    assert person.page.evaluate("scrollY") == 0
    trail = person.page.get_by_role("navigation", name="Breadcrumb")
    trail.get_by_role("link", name="Products").click()
    person.is_at("Products")
    expect(cards).to_have_count(MANY)
    expect(cards.nth(45)).to_be_in_viewport()
    assert person.page.evaluate("scrollY") == place


@pytest.mark.usefixtures("kitchen")
def test_the_list_can_be_loaded_on_from_the_keyboard(person: Person) -> None:
    # This browser never reports that the end of the list is visible.
    person.page.add_init_script("IntersectionObserver.prototype.observe = () => {}")
    person.visit("/products?q=kettle&sort=name")
    more = person.button("More products")
    more.focus()
    more.press("Enter")
    expect(person.page.get_by_role("link", name="Kettle 25")).to_be_focused()
    expect(person.page.get_by_text("48 products shown.")).to_be_attached()


def test_a_cart_is_made_filled_changed_and_emptied(
    customer: Person, api: Api, account: Account, things: list[Any]
) -> None:
    spade, rake = things
    customer.visit("/cart")
    expect(customer.page.get_by_text("Your cart is empty")).to_be_visible()

    customer.visit(f"/products/{spade['id']}")
    customer.press("Add to cart", times=2)  # the second click adds nothing
    expect(customer.news("Spade is in the cart.")).to_be_visible()
    customer.press("Add to cart")
    expect(customer.page.get_by_label("Main").get_by_text("2 pieces")).to_be_visible()
    customer.visit(f"/products/{rake['id']}")
    customer.press("One more: Quantity of Rake")
    customer.press("Add to cart")
    customer.follow("Go to the cart")

    quantity_of_spade = customer.page.get_by_role("textbox", name="Quantity of Spade")
    quantity_of_rake = customer.page.get_by_role("textbox", name="Quantity of Rake")
    expect(quantity_of_spade).to_have_value("2")
    expect(quantity_of_rake).to_have_value("2")
    expect(customer.page.get_by_text("Garden")).to_have_count(2)
    expect(customer.page.get_by_label("Summary")).to_contain_text("$40.00")

    quantity_of_spade.fill("-1")
    quantity_of_spade.press("Enter")
    expect(customer.page.get_by_text("A whole number from 0 to 9999.")).to_be_visible()
    quantity_of_spade.fill("9999")
    quantity_of_spade.press("Enter")
    expect(customer.page.get_by_label("Summary")).to_contain_text("$100,010.00")
    for _ in range(3):
        customer.press("One more: Quantity of Rake")
    expect(quantity_of_rake).to_have_value("5")
    expect(customer.page.get_by_label("Summary")).to_contain_text("$100,040.00")

    quantity_of_spade.fill("0")
    quantity_of_spade.press("Enter")
    expect(quantity_of_spade).to_have_count(0)
    cart = api.call("GET", "/v1/cart", by=account)
    assert [(each["product"]["name"], each["quantity"]) for each in cart["items"]] == [("Rake", 5)]
    customer.press("Remove Rake")
    expect(customer.page.get_by_text("Your cart is empty")).to_be_visible()
    expect(customer.page.get_by_role("heading", level=1)).to_be_focused()


@pytest.mark.usefixtures("kitchen")
@pytest.mark.parametrize("path", ["/cart", "/checkout", "/orders", "/products?q=nosuchthing"])
def test_where_there_is_nothing_yet_products_are_shown(customer: Person, path: str) -> None:
    customer.visit(path)
    shelf = customer.page.locator("section").filter(has_text="Perhaps one of these")
    expect(shelf.locator(".product-card")).to_have_count(8)


def test_a_line_that_is_gone_meanwhile_is_told_and_disappears(
    customer: Person, api: Api, account: Account, things: list[Any]
) -> None:
    spade, rake = things
    api.add_to_cart(account, spade["id"])
    api.add_to_cart(account, rake["id"])
    customer.visit("/cart")
    api.call("DELETE", f"/v1/cart/items/{spade['id']}", by=account)
    customer.press("One more: Quantity of Spade")
    expect(customer.news("The cart has changed meanwhile.")).to_be_visible()
    expect(customer.page.get_by_role("textbox", name="Quantity of Spade")).to_have_count(0)


def test_the_last_of_a_product_is_told_in_the_cart(
    customer: Person, api: Api, account: Account, admin_account: Account, things: list[Any]
) -> None:
    hoe = api.product(things[0]["categoryId"], "Hoe", units=1, stock=1, by=admin_account)
    api.add_to_cart(account, hoe["id"], 2)
    customer.visit("/cart")
    expect(customer.page.get_by_text("There are not that many in stock.")).to_be_visible()
    checkout = customer.page.get_by_role("link", name="Checkout")
    expect(checkout).to_have_attribute("aria-disabled", "true")
    customer.press("Set to 1")
    expect(checkout).to_have_attribute("aria-disabled", "false")


def test_a_guest_fills_a_cart_that_is_there_after_the_sign_in(
    person: Person, account: Account, api: Api, things: list[Any]
) -> None:
    spade, rake = things
    api.add_to_cart(account, rake["id"], 3)
    person.visit(f"/products/{spade['id']}")
    person.press("One more: Quantity of Spade")
    person.press("Add to cart")
    expect(person.page.get_by_label("Main").get_by_text("2 pieces")).to_be_visible()
    person.page.reload()
    person.follow("Go to the cart")
    expect(person.page.get_by_label("Summary")).to_contain_text("$20.00")
    person.press("One more: Quantity of Spade")
    expect(person.page.get_by_label("Summary")).to_contain_text("$30.00")
    person.follow("Checkout")
    person.is_at("Sign in")
    person.sign_in(account.email, account.password)
    person.is_at("Checkout")
    expect(person.page.get_by_label("Your order")).to_contain_text("3 pieces at $10.00")
    expect(person.page.get_by_label("Your order")).to_contain_text("$60.00")
    cart = api.call("GET", "/v1/cart", by=account)
    assert {each["product"]["name"]: each["quantity"] for each in cart["items"]} == {
        "Rake": 3,
        "Spade": 3,
    }
    person.page.reload()
    expect(person.page.get_by_label("Your order")).to_contain_text("$60.00")


def test_a_product_page_says_where_it_stands_and_what_follows_an_order(
    person: Person, things: list[Any]
) -> None:
    spade = things[0]
    person.visit(f"/products/{spade['id']}")
    trail = person.page.get_by_role("navigation", name="Breadcrumb")
    expect(trail.get_by_role("listitem")).to_have_text(["Products", "Garden", "Spade"])
    expect(trail.get_by_text("Spade")).to_have_attribute("aria-current", "page")
    expect(person.page.get_by_text("Sold by Lockstep")).to_be_visible()
    after = person.page.get_by_label("Delivery and returns")
    expect(after).to_contain_text("The shop ships it.")
    expect(after).to_contain_text("the page of your order shows the parcel")
    trail.get_by_role("link", name="Garden").click()
    person.is_at("Products")
    expect(person.field("Category")).to_have_value(spade["categoryId"])


GUEST_CART = "lockstep.cart"


def pick(person: Person, product_ids: list[str]) -> None:
    """Put products into the cart of a guest."""
    lines = [{"productId": each, "quantity": 1} for each in product_ids]
    person.page.evaluate(
        "([key, text]) => localStorage.setItem(key, text)", [GUEST_CART, json.dumps(lines)]
    )


def picked(person: Person) -> list[str]:
    """Return the products in the cart of a guest."""
    text = person.page.evaluate(f"localStorage.getItem('{GUEST_CART}')")
    return [each["productId"] for each in json.loads(text or "[]")]


def test_a_guest_whose_cart_is_full_is_told_and_loses_nothing(
    person: Person, things: list[Any], hundred: list[str]
) -> None:
    spade = things[0]
    person.visit("/products")
    pick(person, hundred)
    person.visit(f"/products/{spade['id']}")
    person.press("Add to cart")
    expect(person.notice()).to_contain_text("The cart is full: it holds 100 products.")
    assert picked(person) == hundred
    pick(person, hundred[1:])
    person.press("Add to cart")
    expect(person.news("Spade is in the cart.")).to_be_visible()
    assert picked(person) == [*hundred[1:], spade["id"]]
    person.field("Quantity of Spade").fill("9999")
    person.press("Add to cart")
    expect(person.notice()).to_contain_text("That is more than the shop takes at once.")
    assert picked(person) == [*hundred[1:], spade["id"]]


def test_what_a_full_cart_does_not_take_waits_in_the_browser(
    person: Person, account: Account, api: Api, things: list[Any], hundred: list[str]
) -> None:
    spade, rake = (each["id"] for each in things)
    lines = [{"productId": each, "quantity": 1} for each in hundred]
    api.call("POST", "/v1/cart:merge", {"items": lines}, by=account)
    person.visit("/sign-in")
    pick(person, [spade])
    person.sign_in(account.email, account.password)
    full = "The cart is full. 1 product that you picked before will come in when there is room."
    expect(person.news(full)).to_be_visible()
    assert picked(person) == [spade]
    person.visit(f"/products/{rake}")
    person.press("Add to cart")
    expect(person.notice()).to_contain_text("The cart is full: it holds 100 products.")
    api.call("DELETE", f"/v1/cart/items/{hundred[0]}", by=account)
    person.page.reload()
    person.visit("/cart")
    expect(person.page.get_by_role("textbox", name="Quantity of Spade")).to_be_visible()
    assert picked(person) == []


def test_what_waits_for_one_account_stays_out_of_another(
    person: Person, account: Account, api: Api, things: list[Any], hundred: list[str]
) -> None:
    lines = [{"productId": each, "quantity": 1} for each in hundred]
    api.call("POST", "/v1/cart:merge", {"items": lines}, by=account)
    person.visit("/sign-in")
    pick(person, [things[0]["id"]])
    person.sign_in(account.email, account.password)
    expect(person.news("The cart is full.")).to_be_visible()
    person.sign_out()
    other = api.register()
    person.visit("/sign-in?to=%2Fcart")
    person.sign_in(other.email, other.password)
    expect(person.page.get_by_text("Your cart is empty")).to_be_visible()
    assert picked(person) == []


def test_a_guest_without_a_connection_adds_nothing_however_often(
    person: Person, things: list[Any]
) -> None:
    person.visit(f"/products/{things[0]['id']}")
    person.page.context.set_offline(True)
    for _ in range(2):
        person.press("Add to cart")
        expect(person.notice()).to_contain_text("can't be reached")
    assert picked(person) == []
    person.page.context.set_offline(False)
    person.press("Add to cart")
    person.follow("Go to the cart")
    expect(person.page.get_by_role("textbox", name="Quantity of Spade")).to_have_value("1")


def test_a_cart_that_cannot_be_merged_yet_is_told_and_stays(
    person: Person, account: Account, things: list[Any]
) -> None:
    spade = things[0]["id"]
    person.visit("/sign-in")
    pick(person, [spade])
    person.page.route("**/v1/cart:merge", lambda route: route.abort())
    person.sign_in(account.email, account.password)
    expect(person.news("What you picked before is not in the cart yet.")).to_be_visible()
    assert picked(person) == [spade]


def test_one_tab_tells_the_other_what_is_in_the_cart(person: Person, things: list[Any]) -> None:
    person.visit("/cart")
    other = Person(person.page.context.new_page())
    other.visit(f"/products/{things[0]['id']}")
    other.press("Add to cart")
    expect(person.page.get_by_label("Main").get_by_text("1 piece")).to_be_visible()


@pytest.mark.usefixtures("kitchen")
def test_who_comes_to_the_start_later_sees_what_is_new_by_then(person: Person) -> None:
    person.page.clock.install()
    person.visit("/about")
    person.page.clock.fast_forward(20_000)
    with person.requests("GET", "/v1/products") as sent:
        person.visit("/")
        expect(person.page.locator(".shelf-section").first.locator(".product-card")).to_have_count(
            8
        )
    assert "limit=9" in sent[0].url


@pytest.mark.usefixtures("kitchen")
def test_the_search_suggests_products_while_words_are_typed(person: Person) -> None:
    person.visit("/")
    person.field("Search").press_sequentially("kettle 4")
    options = person.page.get_by_role("option")
    expect(options).to_have_count(6)
    person.field("Search").press("ArrowDown")
    expect(options.first).to_have_attribute("aria-selected", "true")
    name = options.first.locator(".found-name").inner_text()
    person.field("Search").press("Enter")
    person.is_at(name)
    person.field("Search").fill("kettle 5")
    expect(options).to_have_count(6)
    person.field("Search").press("Escape")
    expect(options.first).to_be_hidden()
