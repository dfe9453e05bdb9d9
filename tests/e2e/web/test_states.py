"""What a page shows while it waits, when the shop does not answer, and without a connection."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, expect

from tests.e2e.web.api import Account
from tests.e2e.web.conftest import NewPerson
from tests.e2e.web.person import Person
from tests.e2e.web.site import Site

pytestmark = [pytest.mark.browser, pytest.mark.processes]

SLOW_MS = 5_000
API = re.compile(r"^http://[^/]+/(v1|api)/")  # and not the modules of the folder api/
NO_ANSWER = "can't be reached"
SLOW = "This takes longer than usual"
# These need nothing of the API, or ask for it at a click alone.
STILL = ("/nope", "/about", "/delivery", "/sign-up", "/sign-in", "/reset", "/invitation", "/verify")
ROLES = ("guest", "shopper", "seller", "admin")


def person_of(role: str, site: Site, new_person: NewPerson) -> tuple[Person, list[str]]:
    """Return a person, and the pages of theirs that ask the API."""
    account, paths = site.all[ROLES.index(role)]
    return new_person(account), [each for each in paths if not each.startswith(STILL)]


def go(person: Person, path: str) -> Locator:
    """Go to a page without waiting for what it shows."""
    person.page.evaluate("path => { location.hash = path; }", path)
    return person.page.locator("main")


@pytest.mark.parametrize("role", ROLES)
def test_a_page_whose_answer_takes_long_says_so_and_then_shows_it(
    role: str, site: Site, new_person: NewPerson
) -> None:
    person, paths = person_of(role, site, new_person)
    person.page.clock.install()
    person.visit("/about")
    for path in paths:
        with person.unanswered(API):
            main = go(person, path)
            expect(main.locator("[aria-busy=true]").first).to_be_attached()
            person.page.clock.fast_forward(SLOW_MS)
            expect(main.get_by_text(SLOW).first).to_be_visible()
        expect(main.locator("[aria-busy=true]")).to_have_count(0)
        expect(main.get_by_text(SLOW)).to_have_count(0)
        expect(main.get_by_text(NO_ANSWER)).to_have_count(0)


@pytest.mark.parametrize("role", ROLES)
def test_a_page_without_a_connection_says_so_and_comes_when_it_is_back(
    role: str, site: Site, new_person: NewPerson
) -> None:
    person, paths = person_of(role, site, new_person)
    for path in paths:
        person.visit(path)  # now its modules are here
    person.visit("/about")
    for path in paths:
        person.page.context.set_offline(True)
        main = go(person, path)
        expect(main.get_by_text(NO_ANSWER).first).to_be_visible()
        expect(main.get_by_role("button", name="Try again").first).to_be_visible()
        expect(person.page.get_by_text("You are offline.")).to_be_visible()
        person.page.context.set_offline(False)
        expect(main.get_by_text(NO_ANSWER)).to_have_count(0)
        expect(person.page.get_by_text("You are offline.")).to_have_count(0)
        person.visit("/about")


def test_a_connection_that_needs_a_moment_after_it_is_back_is_tried_again(person: Person) -> None:
    person.visit("/products")
    person.visit("/about")
    person.page.context.set_offline(True)
    person.page.route("**/v1/products?*", lambda route: route.abort())
    main = go(person, "/products")
    expect(main.get_by_text(NO_ANSWER).first).to_be_visible()
    with person.page.expect_event("requestfailed"):
        person.page.context.set_offline(False)
    person.page.unroute("**/v1/products?*")
    expect(main.get_by_text(NO_ANSWER)).to_have_count(0)


def test_a_page_that_could_not_be_loaded_is_tried_again(person: Person) -> None:
    person.visit("/")
    person.page.context.set_offline(True)
    person.follow("About")
    person.is_at("This page did not load")
    person.press("Try again")
    person.is_at("This page did not load")
    person.page.context.set_offline(False)
    person.is_at("About this shop")


def test_a_countdown_is_kept_although_the_connection_is_back(person: Person) -> None:
    busy = {"status": 503, "headers": {"retry-after": "60"}, "body": "{}"}
    person.page.route("**/v1/products?*", lambda route: route.fulfill(**busy))
    person.visit("/products")
    expect(person.button("Try again")).to_have_attribute("aria-disabled", "true")
    with person.requests("GET", "/v1/products") as sent:
        person.page.evaluate("dispatchEvent(new Event('online'))")
        person.visit("/about")
    assert sent == []


def test_a_dialog_closes_with_the_page_that_it_is_about(new_person: NewPerson, site: Site) -> None:
    path = f"/admin/users/{site.shopper.id}"
    opened: list[tuple[Account | None, str, str]] = [
        (None, f"/products/{site.own_product}", "Enlarge the picture"),
        (site.shopper, f"/orders/{site.order}", "Cancel the order"),
        (site.shopper, "/profile?part=delete", "Delete the account"),
        (site.seller, f"/sell/products/{site.own_product}", "Remove"),
        (site.admin, path, "Put money in"),
        (site.admin, path, "Disable the account"),
    ]
    for account, page, name in opened:
        person = new_person(account)
        person.visit("/about")
        person.visit(page)
        person.press(name)
        expect(person.page.get_by_role("dialog")).to_be_visible()
        person.page.evaluate("history.back()")
        person.is_at("About this shop")
        expect(person.page.locator("dialog")).to_have_count(0)


def test_a_form_waits_in_silence_for_the_reader_of_its_dialog(admin: Person, site: Site) -> None:
    admin.page.clock.install()
    admin.visit(f"/admin/users/{site.shopper.id}")
    admin.press("Disable the account")
    admin.page.clock.fast_forward(SLOW_MS)
    expect(admin.button("Disable it")).to_be_visible()
    expect(admin.page.get_by_text(SLOW)).to_have_count(0)
    with admin.unanswered(API):
        admin.press("Disable it")
        expect(admin.page.get_by_role("dialog")).to_have_count(0)
        admin.page.clock.fast_forward(SLOW_MS)
        expect(admin.page.get_by_text(SLOW)).to_be_visible()
    expect(admin.news("is disabled.")).to_be_visible()
    admin.press("Enable the account")
    expect(admin.news("is enabled.")).to_be_visible()


def test_a_form_whose_answer_takes_long_says_so(person: Person, site: Site) -> None:
    person.page.clock.install()
    person.visit("/sign-in")
    with person.unanswered(API):
        person.sign_in(site.shopper.email, site.shopper.password)
        person.page.clock.fast_forward(SLOW_MS)
        expect(person.page.get_by_text(SLOW)).to_be_visible()
    person.is_signed_in()


def test_a_form_without_a_connection_keeps_what_was_typed(person: Person, site: Site) -> None:
    person.visit("/sign-in")
    person.page.context.set_offline(True)
    person.sign_in(site.shopper.email, site.shopper.password)
    expect(person.notice()).to_contain_text(NO_ANSWER)
    person.page.context.set_offline(False)
    person.press("Sign in")
    person.is_signed_in()
