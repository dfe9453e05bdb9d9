"""Addresses that lead nowhere: one page, with ways on, for everybody."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.e2e.web.api import Account
from tests.e2e.web.conftest import NewPerson

pytestmark = [pytest.mark.browser, pytest.mark.processes]

NOBODY = "01a1fcb4-9d7e-7c52-b7a5-0c3c4f0e6d11"
FOR_ALL = [
    "/nope",
    "/products/nope",
    f"/products/{NOBODY}",
    "/products/100%",
    "/products/a/b",
    "/%",
]
FOR_USERS = ["/orders/nope", f"/orders/{NOBODY}"]


@pytest.mark.parametrize("who", ["guest", "customer", "administrator"])
def test_an_address_that_leads_nowhere_shows_ways_on(
    who: str, new_person: NewPerson, account: Account, admin_account: Account
) -> None:
    person = new_person({"guest": None, "customer": account, "administrator": admin_account}[who])
    for path in FOR_ALL + (FOR_USERS if who != "guest" else []):
        person.page.goto("about:blank")  # as somebody who opens it in a new tab
        person.page.goto(f"/#{path}")
        expect(person.page.get_by_role("heading", name="We can't find that")).to_be_visible()
        expect(person.page.get_by_role("link", name="All products").last).to_be_visible()


def test_the_search_of_a_lost_page_leads_to_products(new_person: NewPerson) -> None:
    person = new_person()
    person.page.goto("/#/nope")
    person.page.get_by_role("searchbox", name="Search the products").fill("lamp & co")
    person.press("Search")
    person.is_at("Products")
    expect(person.page.get_by_role("combobox", name="Search", exact=True)).to_have_value(
        "lamp & co"
    )
