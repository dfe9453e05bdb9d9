"""The looks of the pages, their weight, and their accessibility.

The tests write screenshots to tests/screenshots, for people to look at.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Response, expect

from tests.e2e.stack import Stack
from tests.e2e.web.api import Account, Api
from tests.e2e.web.conftest import DESKTOP, PHONE, TABLET, NewPerson
from tests.e2e.web.person import Person
from tests.e2e.web.site import Site

pytestmark = [pytest.mark.browser, pytest.mark.processes]

ROOT = Path(__file__).parents[3]
SCREENSHOTS = ROOT / "tests" / "screenshots"
AXE = ROOT / "build" / "axe" / "node_modules" / "axe-core" / "axe.min.js"
WEIGHT_MAX = 100_000
SHIFT_MAX = 0.02
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
LOOKS: dict[str, dict[str, Any]] = {
    "wide": {},
    "dark": {"is_dark": True},
    "tablet": {"size": TABLET},
    "phone": {"size": PHONE},
}
# The rules of axe for a look; the dark theme changes only colours.
RULES = {"wide": "", "dark": "color-contrast"}
TABLES = {
    "/admin/orders": ["Order", "Placed", "Products", "State", "Total"],
    "/admin/users": ["User", "Role", "Since", "State"],
    "/admin/catalog": ["Product", "Category", "Stock", "Price"],
}
PICTURES_ARE_HERE = """Promise.all([...document.images]
    .filter(each => each.loading !== "lazy").map(each => each.decode().catch(() => null)))"""

# A screenshot of the whole page changes the size of the window, and a scrollbar takes 15 pixels.
TOO_WIDE = """() => new Promise(told => requestAnimationFrame(() => requestAnimationFrame(() => {
    const { scrollWidth, clientWidth } = document.documentElement;
    told(scrollWidth - clientWidth);
})))"""


def picture(page: Page, path: str, kind: str) -> None:
    SCREENSHOTS.mkdir(exist_ok=True)
    name = re.sub(r"\W+", "-", UUID.sub("one", path)).strip("-")
    page.screenshot(path=SCREENSHOTS / f"{name}.{kind}.png", full_page=True)


def overflow(page: Page) -> int:
    """Return by how much a page is too wide, once the frames after a screenshot are painted."""
    return int(page.evaluate(TOO_WIDE))


@pytest.mark.parametrize("kind", list(LOOKS))
def test_every_page_fits_is_pictured_and_has_no_fault_of_access(
    new_person: NewPerson, site: Site, kind: str
) -> None:
    """One walk for all three: it is the walk that takes the time."""
    wide: dict[str, int] = {}
    found: list[str] = []
    for account, paths in site.all:
        person = new_person(account, **LOOKS[kind])
        if is_judged := kind in RULES and AXE.exists():
            person.page.add_init_script(path=AXE)
        for path in paths:
            person.visit(path)
            expect(person.page.locator(".bone")).to_have_count(0)
            person.page.evaluate(PICTURES_ARE_HERE)
            picture(person.page, f"{path_of(site, account)}{path}", kind)
            wide[path] = overflow(person.page)
            if is_judged:
                found += access_faults(person.page, path, only=RULES[kind])
    assert {path: pixels for path, pixels in wide.items() if pixels > 0} == {}
    assert found == []


def path_of(site: Site, account: Account | None) -> str:
    """Return what tells the pictures of a shopper and a seller apart."""
    id_ = account.id if account else ""
    return {site.shopper.id: "/shopper", site.seller.id: "/seller"}.get(id_, "")


def add_axe(page: Page) -> None:
    """Have a page load axe-core; without it, skip the test."""
    if not AXE.exists():
        pytest.skip("access is not tested: no axe-core (npm install --prefix build/axe axe-core)")
    page.add_init_script(path=AXE)


def access_faults(page: Page, path: str, *, only: str = "") -> list[str]:
    """Return what axe finds moderate or worse."""
    options: dict[str, Any] = {"resultTypes": ["violations"], "preload": False}
    if only:
        options["runOnly"] = {"type": "rule", "values": [only]}
    result = page.evaluate("options => axe.run(options)", options)
    assert result["passes"]  # the check has found elements
    return [
        f"{path}: {each['id']}: {node['html']}"
        for each in result["violations"]
        if each["impact"] in ("moderate", "serious", "critical")
        for node in each["nodes"]
    ]


def test_the_lists_of_administrators_are_tables_at_each_width(
    new_person: NewPerson, site: Site
) -> None:
    found: list[str] = []
    for size in (DESKTOP, PHONE):
        admin = new_person(site.admin, size=size)
        if AXE.exists():
            admin.page.add_init_script(path=AXE)
        for path, columns in TABLES.items():
            admin.visit(path)
            table = admin.page.get_by_role("table")
            expect(table.get_by_role("columnheader")).to_have_text(columns)
            row = table.get_by_role("row").nth(1)
            expect(row.get_by_role("rowheader").get_by_role("link")).to_be_visible()
            expect(row.get_by_role("cell").last).to_be_visible()
            if AXE.exists():
                found += access_faults(admin.page, path)
    assert found == []


def test_a_row_leads_to_its_own_page_although_no_row_is_positioned(
    new_person: NewPerson, site: Site
) -> None:
    """Some browsers position cells alone."""
    admin = new_person(site.admin)
    admin.visit("/admin/users")
    admin.page.evaluate(
        """document.styleSheets[0].insertRule("table tr { position: static !important }")"""
    )
    row = admin.page.locator("tbody").get_by_role("row").nth(1)
    path = row.get_by_role("link").get_attribute("href")
    end = row.get_by_role("cell").last.bounding_box()
    assert path is not None
    assert end is not None
    admin.page.mouse.click(end["x"] + end["width"] - 3, end["y"] + end["height"] / 2)
    admin.is_at("User")
    assert admin.page.url.endswith(path)


def test_a_form_with_errors_has_no_fault_of_access(person: Person) -> None:
    add_axe(person.page)
    person.visit("/sign-up")
    person.press("Create account")
    expect(person.error_at("E-mail")).to_have_text("E-mail is required.")
    picture(person.page, "/sign-up-errors", "wide")
    assert access_faults(person.page, "/sign-up") == []


def test_a_picture_is_enlarged_and_made_small_again(person: Person, site: Site) -> None:
    person.visit("/about")
    person.visit(f"/products/{site.own_product}")
    enlarge = person.button("Enlarge the picture")
    dialog = person.page.get_by_role("dialog", name="Desk lamp")
    ways: list[Callable[[], None]] = [
        lambda: person.page.keyboard.press("Escape"),
        lambda: person.press("Close"),
        lambda: dialog.locator("img").click(),
    ]
    for close in ways:
        enlarge.press("Enter")
        expect(dialog).to_be_visible()
        expect(dialog.get_by_role("img")).to_have_count(0)  # the dialog has its name
        close()
        expect(dialog).to_have_count(0)
        expect(enlarge).to_be_focused()
    enlarge.click()
    person.page.evaluate("history.back()")
    person.is_at("About this shop")
    expect(dialog).to_have_count(0)


def test_an_enlarged_picture_has_no_fault_of_access(person: Person, site: Site) -> None:
    add_axe(person.page)
    person.visit(f"/products/{site.own_product}")
    person.press("Enlarge the picture")
    expect(person.page.get_by_role("dialog")).to_be_visible()
    person.page.evaluate(PICTURES_ARE_HERE)
    picture(person.page, "/product-enlarged", "wide")
    assert access_faults(person.page, "/products") == []


@pytest.mark.usefixtures("site")
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
def test_nothing_jumps(new_person: NewPerson, site: Site, path: str) -> None:
    person = new_person(None if path == "/sign-up" else site.shopper)
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
