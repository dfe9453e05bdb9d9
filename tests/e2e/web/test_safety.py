"""Sessions one by one, the password again, and the second factor."""

from __future__ import annotations

import re
import time

import pyotp
import pytest
from playwright.sync_api import Route, expect

from tests.e2e.stack import Stack
from tests.e2e.web.api import PASSWORD, Account, Api
from tests.e2e.web.conftest import NewPerson
from tests.e2e.web.person import Person

pytestmark = [pytest.mark.browser, pytest.mark.processes]

GROWN_OLD = "UPDATE sessions SET auth_time = auth_time - interval '6 minutes'"


def grow_old(stack: Stack) -> None:
    """Let six minutes pass since all logins."""
    stack.command("psql", "auth", "-c", GROWN_OLD)


def test_sessions_are_seen_and_ended(customer: Person, account: Account, api: Api) -> None:
    for name in ("Phone", "Tablet", "Television"):
        body = {"email": account.email, "password": PASSWORD, "clientName": name}
        api.call("POST", "/v1/auth/login", body)
    customer.visit("/profile?part=sign-in")
    customer.follow("See where you are signed in")
    rows = customer.page.locator(".row")
    expect(rows).to_have_count(4)
    expect(rows.filter(has_text="This one")).to_have_count(1)
    phone = rows.filter(has_text="Phone")
    expect(phone).to_contain_text("127.0.0.1")
    phone.get_by_role("button", name="End").click()
    expect(customer.news("Phone is signed out.")).to_be_visible()
    expect(rows).to_have_count(3)
    customer.press("End all others")
    expect(rows).to_have_count(1)
    customer.is_signed_in()


def test_a_browser_names_itself(person: Person, account: Account) -> None:
    person.visit("/sign-in")
    person.sign_in(account.email, PASSWORD)
    person.is_signed_in()
    person.visit("/sessions")
    expect(person.page.locator(".row").first).to_contain_text("Chrome on Linux")


def test_the_password_is_asked_for_again_and_the_request_goes_on(
    customer: Person, stack: Stack, api: Api, account: Account
) -> None:
    api.login(account)
    grow_old(stack)
    before = customer_token(customer)
    customer.visit("/sessions")
    customer.press("End all others")
    dialog = customer.page.get_by_role("dialog")
    dialog.get_by_role("button", name="Close").click()
    expect(customer.notice()).to_contain_text("needs your password")
    customer.press("End all others")
    customer.fill(Your_password="Copper-Kettle-8")
    dialog.get_by_role("button", name="Go on").click()
    expect(customer.error_at("Your password")).to_contain_text("password is wrong")
    customer.fill(Your_password=PASSWORD)
    dialog.get_by_role("button", name="Go on").click()
    expect(customer.news("All others are signed out.")).to_be_visible()
    expect(customer.page.locator(".row")).to_have_count(1)
    assert customer_token(customer) != before
    customer.is_signed_in()


@pytest.mark.parametrize(
    "asking",
    [
        ("/sessions", "End all others", "/v1/users/me/sessions:end"),
        ("/profile?part=delete", "Delete the account", "/v1/wallets/me"),
    ],
)
def test_who_has_left_a_page_meanwhile_is_asked_for_nothing(
    customer: Person, stack: Stack, api: Api, account: Account, asking: tuple[str, str, str]
) -> None:
    path, button, method = asking
    api.login(account)
    grow_old(stack)
    dialog = customer.page.get_by_role("dialog")
    customer.visit(path)
    customer.press(button)
    customer.press("Close")
    expect(dialog).to_have_count(0)
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    customer.page.route(f"**{method}", hold)
    with customer.page.expect_request(f"**{method}"):
        customer.press(button)
    customer.visit("/about")
    with customer.page.expect_response(f"**{method}"):
        held[0].continue_()
    customer.page.evaluate("() => new Promise(requestAnimationFrame)")
    expect(dialog).to_have_count(0)


def customer_token(person: Person) -> str:
    if person.page.url == "about:blank":
        person.visit("/profile")
    return str(person.session()["token"])


def test_a_second_factor_is_added_used_and_removed(
    customer: Person, new_person: NewPerson, account: Account, stack: Stack
) -> None:
    customer.visit("/profile?part=sign-in")
    customer.press("Add a second factor")
    secret = (customer.page.locator("code.secret").inner_text()).replace(" ", "")
    link = customer.page.get_by_role("link", name="Open it in an app on this device")
    expect(link).to_have_attribute("href", re.compile(f"^otpauth://totp/.*secret={secret}"))
    totp = pyotp.TOTP(secret)
    customer.fill(First_code=totp.now())
    customer.press("Switch it on")
    codes = customer.page.locator(".recovery code")
    expect(codes).to_have_count(10)
    recovery = codes.first.inner_text()
    customer.press("I have kept them")
    expect(customer.button("Remove the second factor")).to_be_visible()

    other = new_person()
    other.visit("/sign-in")
    other.sign_in(account.email, PASSWORD)
    other.fill(Code="A" * 24)
    other.press("Go on")
    expect(other.error_at("Code")).to_contain_text("code is wrong")
    other.fill(Code=totp.at(time.time(), counter_offset=1))
    other.press("Go on")
    other.is_signed_in()

    grow_old(stack)
    other.visit("/profile?part=sign-in")
    other.press("Remove the second factor")
    other.press("Remove it")
    other.fill(Your_password=PASSWORD)
    dialog = other.page.get_by_role("dialog")
    dialog.get_by_role("button", name="Go on").click()
    other.fill(Code=recovery)
    dialog.get_by_role("button", name="Go on").click()
    expect(other.news("The second factor is removed.")).to_be_visible()
    expect(other.button("Add a second factor")).to_be_visible()
