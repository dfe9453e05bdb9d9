"""The main flows without a mouse."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, expect

from tests.e2e.web.api import Account, Api
from tests.e2e.web.conftest import DESKTOP, PHONE, NewPerson
from tests.e2e.web.person import Person

pytestmark = [pytest.mark.browser, pytest.mark.processes]

STOPS_MAX = 60
IS_FOCUSED = "it => it === document.activeElement"
# The header, and on a phone the tabs below, lie over the page.
IS_UNCOVERED = """it => {
    const { top, bottom, left, right } = it.getBoundingClientRect();
    const found = (y) => document.elementFromPoint((left + right) / 2, y);
    const isInBar = Boolean(it.closest('site-header'));
    return isInBar || [top + 2, bottom - 2].every(
        y => y >= 0 && y <= innerHeight && !found(y)?.closest('site-header'));
}"""
IS_MARKED = "it => it.matches(':focus-visible')"


def tab_to(person: Person, target: Locator) -> None:
    """Press Tab until something has the focus, which must be seen there."""
    expect(target).to_be_visible()
    for _ in range(STOPS_MAX):
        person.page.keyboard.press("Tab")
        if target.evaluate(IS_FOCUSED):
            assert target.evaluate(IS_MARKED)
            return
    pytest.fail(f"Tab does not reach {target}")


def choose(person: Person, role: str, name: str) -> None:
    """Reach a button or link, and press it."""
    tab_to(person, person.page.get_by_role(role, name=name, exact=True).last)  # type: ignore[arg-type]
    person.page.keyboard.press("Enter")


def write(person: Person, label: str, text: str) -> None:
    """Reach a field, and type into it."""
    tab_to(person, person.field(label))
    person.page.keyboard.press("ControlOrMeta+a")
    person.page.keyboard.type(text)


@pytest.fixture
def sold(api: Api, admin_account: Account) -> tuple[Account, str]:
    """Return a seller with a product, by its name."""
    seller = api.brand()
    category = api.category(f"Clocks {seller.email}", by=admin_account)
    name = f"Clock of {seller.email}"
    api.sell(category, name, units=30, by=seller)
    return seller, name


def test_a_guest_signs_up(person: Person) -> None:
    account = Account()
    person.visit("/")
    choose(person, "link", "Sign up")
    person.is_at("Create your account")
    write(person, "Full name", "Ada King")
    write(person, "E-mail", account.email)
    write(person, "Phone number", account.phone)
    write(person, "Password", account.password)
    write(person, "Confirm password", account.password)
    person.page.keyboard.press("Enter")
    person.is_signed_in()


def test_somebody_buys_and_cancels_and_the_seller_ships(
    new_person: NewPerson,
    api: Api,
    account: Account,
    admin_account: Account,
    sold: tuple[Account, str],
) -> None:
    seller_account, name = sold
    api.top_up(account, 100, by=admin_account)
    buyer = new_person(account)
    buyer.visit("/")
    write(buyer, "Search", name)
    buyer.page.keyboard.press("Enter")
    buyer.is_at("Products")
    choose(buyer, "link", name)
    buyer.is_at(name)
    for _ in range(2):
        choose(buyer, "button", f"One more: Quantity of {name}")
    choose(buyer, "button", "Add to cart")
    choose(buyer, "link", "Go to the cart")
    buyer.is_at("Cart")
    choose(buyer, "link", "Checkout")
    buyer.is_at("Checkout")
    write(buyer, "Delivery address", "1 Mill Lane, Bath")
    choose(buyer, "button", "Pay $90.00")
    buyer.is_at_an_order()
    choose(buyer, "button", f"Cancel {name}")
    dialog = buyer.page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    choose(buyer, "button", f"One less: Quantity of {name}")
    choose(buyer, "button", "Cancel")
    expect(dialog).to_have_count(0)
    expect(buyer.page.get_by_label("Summary").get_by_text("$60.00")).to_be_visible()

    seller = new_person(seller_account)
    seller.visit("/sell/sales")
    write(seller, "Tracking number", "BATH-1")
    choose(seller, "button", "Mark as shipped")
    expect(seller.news("is marked as shipped.")).to_be_visible()


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_what_has_the_focus_is_never_behind_a_bar(
    size: tuple[int, int], new_person: NewPerson
) -> None:
    person = new_person(size=size)
    person.visit("/sign-up")
    focused = person.page.locator(":focus")
    for key in ("Tab", "Shift+Tab"):
        for _ in range(24):
            person.page.keyboard.press(key)
            if focused.count():
                assert focused.evaluate(IS_UNCOVERED), focused.evaluate("it => it.outerHTML")


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_a_refused_field_is_seen_with_its_error(
    size: tuple[int, int], new_person: NewPerson
) -> None:
    person = new_person(size=size)
    person.describe(Account(), Phone_number="12")
    person.press("Create account")
    expect(person.field("Phone number")).to_be_focused()
    assert person.field("Phone number").evaluate(IS_UNCOVERED)
    assert person.error_at("Phone number").evaluate(IS_UNCOVERED)
