"""What is seen where: nothing that matters is cut off or covered, and rows are whole."""

from __future__ import annotations

import pytest
from playwright.sync_api import FloatRect, Locator, expect

from tests.e2e.web.conftest import DESKTOP, PHONE, TABLET, NewPerson
from tests.e2e.web.person import Person
from tests.e2e.web.site import Site

pytestmark = [pytest.mark.browser, pytest.mark.processes]

FOLLOWS_MS = 1000
MARGIN = 8


def box(it: Locator) -> FloatRect:
    found = it.bounding_box()
    assert found is not None
    return found


@pytest.mark.parametrize("part", ["orders", "catalog", "categories"])
def test_the_chosen_tab_is_in_sight(part: str, new_person: NewPerson, site: Site) -> None:
    admin = new_person(site.admin, size=PHONE)
    admin.visit(f"/admin/{part}")
    chosen = admin.page.get_by_label("Administration").locator("[aria-current=page]")
    expect(chosen).to_be_in_viewport(ratio=0.9)


@pytest.mark.parametrize("size", [DESKTOP, TABLET, PHONE])
def test_the_rows_of_a_shelf_are_whole(
    size: tuple[int, int], new_person: NewPerson, site: Site
) -> None:
    person = new_person(size=size)
    person.visit("/")
    cards = person.page.locator(".shelf-section").first.locator("li:visible")
    expect(cards.first.locator("h3")).to_be_visible()
    tops = [box(each)["y"] for each in cards.all()]
    assert len({tops.count(top) for top in tops}) == 1
    assert site.product  # the shop has enough of them


def test_the_name_in_a_line_has_the_width_of_a_phone(new_person: NewPerson, site: Site) -> None:
    shopper = new_person(site.shopper, size=PHONE)
    for path in ("/cart", f"/orders/{site.order}"):
        shopper.visit(path)
        line = shopper.page.locator(".line").first
        text, total = box(line.locator(".line-text")), box(line.locator(".line-total"))
        assert total["y"] >= text["y"] + text["height"]
        assert text["width"] > box(line)["width"] / 2
        last = box(line.get_by_role("button").last)
        assert last["y"] + last["height"] + MARGIN <= box(line)["y"] + box(line)["height"]


def test_a_message_leaves_with_the_page_that_it_is_about(person: Person, site: Site) -> None:
    person.page.clock.install()
    person.visit(f"/products/{site.product}")
    person.press("Add to cart")
    said = person.news("is in the cart.")
    expect(said).to_be_visible()
    person.page.clock.fast_forward(FOLLOWS_MS)
    expect(said).to_be_visible()
    person.visit("/cart")
    expect(said).to_have_count(0)
