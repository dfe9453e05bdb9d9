"""The looks of the pages, their weight, and their accessibility.

The tests write screenshots to tests/screenshots, for people to look at.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Response, expect

from tests.e2e.stack import Stack
from tests.e2e.web.api import Account, Api, price
from tests.e2e.web.conftest import PHONE, NewPerson
from tests.e2e.web.person import Person

pytestmark = [pytest.mark.browser, pytest.mark.processes]

ROOT = Path(__file__).parents[3]
SCREENSHOTS = ROOT / "tests" / "screenshots"
AXE = ROOT / "build" / "axe" / "node_modules" / "axe-core" / "axe.min.js"
WEIGHT_MAX = 100_000
SHIFT_MAX = 0.02

FOR_ANYBODY = (
    "/",
    "/products",
    "/about",
    "/delivery",
    "/sign-up",
    "/sign-up/code",
    "/sign-in",
    "/reset",
    "/invitation",
)
FOR_USERS = ("/cart", "/checkout", "/orders", "/wallet", "/profile", "/verify")
FOR_ADMINS = (
    "/admin/orders",
    "/admin/users",
    "/admin/invitations",
    "/admin/catalog",
    "/admin/catalog/new",
    "/admin/categories",
)


@pytest.fixture(scope="module")
def shopper(api: Api, admin_account: Account) -> Account:
    """Return a brand with products in the cart, an order, a refund and money."""
    account = api.brand()
    api.top_up(account, 500, by=admin_account)
    category = api.category("Instruments", by=admin_account)
    things = [
        ("Sextant", 120, 8),
        ("Astrolabe", 240, 3),
        ("Pocket compass", 19, 0),
        ("Spyglass", 65, 9),
    ]
    things += [(f"Brass ruler, {length} cm", length, 50) for length in range(10, 31)]
    products = api.products(
        [
            {
                "categoryId": category,
                "name": name,
                "description": "Made by hand, and tested at sea.\nWith a case.",
                "price": price(units, 95),
                "stock": stock,
            }
            for name, units, stock in things
        ],
        by=admin_account,
    )
    for _ in range(2):
        api.add_to_cart(account, products[0]["id"])
        order = api.call("POST", "/v1/orders", {}, by=account)
    api.call("POST", f"/v1/orders/{order['id']}:cancel", {}, by=account)
    api.add_to_cart(account, products[1]["id"], 1)
    api.add_to_cart(account, products[3]["id"], 2)
    return account


def pages_of(api: Api, shopper: Account) -> tuple[str, ...]:
    product = api.call("GET", "/v1/products", q="sextant")["products"][0]
    order = api.orders(shopper)[0]
    return (*FOR_USERS, f"/products/{product['id']}", f"/orders/{order['id']}")


def picture(page: Page, path: str, kind: str) -> None:
    SCREENSHOTS.mkdir(exist_ok=True)
    name = "-".join(part for part in path.split("/") if part and not part.startswith("01"))
    if path.count("/") > 1 and "01" in path:
        name += "-one"
    page.screenshot(path=SCREENSHOTS / f"{name}.{kind}.png", full_page=True)


def overflow(page: Page) -> int:
    return int(
        page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    )


@pytest.mark.parametrize("kind", ["wide", "phone", "dark"])
def test_every_page_fits_and_is_pictured(
    new_person: NewPerson, api: Api, shopper: Account, admin_account: Account, kind: str
) -> None:
    look: dict[str, Any] = {"size": PHONE} if kind == "phone" else {"is_dark": kind == "dark"}
    visits = [
        (new_person(**look), FOR_ANYBODY),
        (new_person(shopper, **look), pages_of(api, shopper)),
        (new_person(admin_account, **look), (*FOR_ADMINS, f"/admin/users/{shopper.id}")),
    ]
    wide: dict[str, int] = {}
    for person, paths in visits:
        for path in paths:
            person.visit(path)
            expect(person.page.locator(".bone")).to_have_count(0)
            picture(person.page, path, kind)
            wide[path] = overflow(person.page)
    assert {path: pixels for path, pixels in wide.items() if pixels > 0} == {}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_has_a_serious_fault_of_access(
    new_person: NewPerson, api: Api, shopper: Account, admin_account: Account, scheme: str
) -> None:
    is_dark = scheme == "dark"
    visits = [
        (new_person(is_dark=is_dark), FOR_ANYBODY),
        (new_person(shopper, is_dark=is_dark), pages_of(api, shopper)),
        (new_person(admin_account, is_dark=is_dark), (*FOR_ADMINS, f"/admin/users/{shopper.id}")),
    ]
    found = []
    for person, paths in visits:
        add_axe(person.page)
        for path in paths:
            person.visit(path)
            # The dark theme changes only colours.
            found += serious_faults(person.page, path, only="color-contrast" if is_dark else "")
    assert found == []


def add_axe(page: Page) -> None:
    """Have a page load axe-core; without it, skip the test."""
    if not AXE.exists():
        pytest.skip("access is not tested: no axe-core (npm install --prefix build/axe axe-core)")
    page.add_init_script(path=AXE)


def serious_faults(page: Page, path: str, *, only: str = "") -> list[str]:
    options: dict[str, Any] = {"resultTypes": ["violations"]}
    if only:
        options["runOnly"] = {"type": "rule", "values": [only]}
    result = page.evaluate("options => axe.run(options)", options)
    assert result["passes"]  # the check has found elements
    return [
        f"{path}: {each['id']}: {node['html']}"
        for each in result["violations"]
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]


def test_a_form_with_errors_has_no_serious_fault_of_access(person: Person) -> None:
    add_axe(person.page)
    person.visit("/sign-up")
    person.press("Create account")
    expect(person.error_at("E-mail")).to_have_text("E-mail is required.")
    picture(person.page, "/sign-up-errors", "wide")
    assert serious_faults(person.page, "/sign-up") == []


@pytest.mark.usefixtures("shopper")
def test_the_first_page_weighs_little(person: Person, stack: Stack) -> None:
    answers: list[Response] = []

    def keep(response: Response) -> None:
        answers.append(response)

    person.page.on("response", keep)
    person.visit("/products")
    sizes = {each.url: each.request.sizes()["responseBodySize"] for each in answers}
    assert all(url.startswith(stack.url) for url in sizes)
    assert len(sizes) > 10
    assert sum(sizes.values()) < WEIGHT_MAX


@pytest.mark.parametrize("path", ["/products", "/cart", "/profile", "/wallet", "/sign-up"])
def test_nothing_jumps(new_person: NewPerson, shopper: Account, path: str) -> None:
    person = new_person(None if path == "/sign-up" else shopper)
    person.page.add_init_script(
        """let shift = 0;
        const moved = [];
        new PerformanceObserver(list => {
            for (const entry of list.getEntries()) {
                if (entry.hadRecentInput) continue;
                shift += entry.value;
                for (const { node } of entry.sources) moved.push(node?.outerHTML.slice(0, 120));
            }
        }).observe({ type: "layout-shift", buffered: true });
        globalThis.shifts = () => [shift, moved];"""
    )
    person.visit(path)
    if path == "/sign-up":
        person.fill(Full_name="x" * 101, E_mail="ada@", Phone_number="1")
        expect(person.error_at("Phone number")).not_to_be_empty()
    shift, moved = person.page.evaluate("shifts()")
    assert shift < SHIFT_MAX, moved


def test_everything_is_reached_by_keyboard(person: Person) -> None:
    person.visit("/products")
    expect(person.page.get_by_role("heading", level=1)).to_be_focused()
    person.page.locator("body").press("Shift+Tab")
    person.follow("Sign in")
    person.is_at("Sign in")
    expect(person.page.get_by_role("heading", level=1)).to_be_focused()
    assert person.page.title() == "Sign in · Lockstep"
    person.page.keyboard.press("Tab")
    expect(person.field("E-mail")).to_be_focused()
    person.page.keyboard.press("Enter")
    expect(person.error_at("E-mail")).to_have_text("E-mail is required.")
    expect(person.field("E-mail")).to_be_focused()
    person.button("Skip to content").focus()
    person.page.keyboard.press("Enter")
    expect(person.page.get_by_role("heading", level=1)).to_be_focused()


def test_text_is_never_taken_for_markup(person: Person, api: Api, admin_account: Account) -> None:
    name = "<img src=x onerror=alert(1)> & <b>bold</b>"
    category = api.category("<i>Odd</i>", by=admin_account)
    product = api.product(category, name, units=1, stock=1, by=admin_account)
    person.visit(f"/products/{product['id']}")
    person.is_at(name)
    assert person.page.locator("main img, main b, main i").count() == 0
