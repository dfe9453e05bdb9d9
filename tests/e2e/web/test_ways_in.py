"""Signing in and out, codes by mail, and sessions that end."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.e2e.stack import Stack
from tests.e2e.web.api import NEW_PASSWORD, PASSWORD, Account, Api
from tests.e2e.web.person import Person

pytestmark = [pytest.mark.browser, pytest.mark.processes]


def other_than(code: str) -> str:
    return f"{(int(code) + 1) % 1_000_000:06d}"


def test_a_sign_up_by_code_asks_for_the_right_code_and_signs_in(
    person: Person, stack: Stack, api: Api
) -> None:
    account = Account()
    person.visit("/sign-up/code")
    person.fill(E_mail=account.email, Password=PASSWORD, Confirm_password=PASSWORD)
    person.press("Send me a code")
    expect(person.field("Code")).to_be_focused()
    expect(person.page.get_by_role("button", name=re.compile(r"New code in \d+ s"))).to_be_visible()
    code = stack.code(account.email)
    person.fill(Code="12345")
    person.press("Create account")
    expect(person.error_at("Code")).to_have_text("Code must be the six digits of the mail.")
    person.fill(Code=other_than(code))
    person.press("Create account")
    expect(person.error_at("Code")).to_contain_text("The code is wrong")
    person.fill(Code=f"{code[:3]} {code[3:]}")
    person.press("Create account", times=2)
    person.is_at("Good things, made well")
    person.is_signed_in()
    assert api.call("GET", "/v1/profiles/me", by=account)["status"] == "active"


def test_an_invitation_makes_an_account_of_its_role_and_signs_in(
    person: Person, stack: Stack, api: Api
) -> None:
    account = Account()
    token = stack.invitation(account.email, role="student")
    person.visit(f"/invitation?token={token}")
    person.is_at("You are invited")
    expect(person.page.get_by_text(account.email)).to_be_visible()
    assert person.field("E-mail").count() == 0
    person.press("Create account")
    expect(person.error_at("Course")).to_have_text("Course is required.")
    person.fill(Full_name="Ada King", Course="Analysis")
    person.fill(Password=PASSWORD, Confirm_password=PASSWORD)
    person.press("Create account", times=2)
    person.is_at("Products")
    person.is_signed_in()
    assert api.call("GET", "/v1/profiles/me", by=account)["status"] == "active"
    person.visit(f"/invitation?token={token}")
    expect(person.page.get_by_text("it has ended")).to_be_visible()


def test_an_administrator_invites_and_ends_an_invitation(admin: Person) -> None:
    account = Account()
    admin.visit("/admin/invitations")
    admin.press("Invite")
    expect(admin.error_at("E-mail")).to_have_text("E-mail is required.")
    admin.fill(E_mail=account.email)
    admin.field("Role").select_option("student")
    admin.press("Invite", times=2)
    expect(admin.news(f"{account.email} is invited until")).to_be_visible()
    row = admin.page.get_by_role("row").filter(has_text=account.email)
    expect(row).to_contain_text("Student")
    admin.press(f"End the invitation of {account.email}")
    expect(admin.news(f"The invitation of {account.email} has ended.")).to_be_visible()
    expect(row).to_have_count(0)


def test_a_mailed_code_confirms_the_address(person: Person, stack: Stack) -> None:
    account = Account()
    person.describe(account)
    person.press("Create account")
    person.follow("Confirm your e-mail address")
    person.is_at("Confirm your e-mail")
    code = stack.code(account.email)
    person.fill(Code=other_than(code))
    person.press("Confirm")
    expect(person.error_at("Code")).to_contain_text("The code is wrong")
    person.fill(Code=code)
    person.press("Confirm")
    person.is_at("Account")
    expect(person.page.get_by_text("E-mail confirmed")).to_be_visible()


def test_a_wrong_password_is_told_without_saying_which_part_is_wrong(
    person: Person, account: Account
) -> None:
    person.visit("/sign-in")
    person.press("Sign in")
    expect(person.error_at("E-mail")).to_have_text("E-mail is required.")
    expect(person.error_at("Password")).to_have_text("Password is required.")
    person.sign_in(account.email, "Copper-Kettle-8")
    expect(person.notice()).to_contain_text("The e-mail address or the password is wrong.")
    person.sign_in(account.email, account.password)
    person.is_signed_in()


def test_too_many_tries_have_to_wait_and_are_told_how_long(
    person: Person, account: Account, api: Api
) -> None:
    wrong = {"email": account.email, "password": "Copper-Kettle-8"}
    while api.try_call("POST", "/v1/auth/login", wrong).status_code == 401:
        pass
    person.visit("/sign-in")
    with person.requests("POST", "/api/auth/login") as sent:
        person.sign_in(account.email, account.password)
        expect(person.page.get_by_role("timer")).to_contain_text("Please wait")
        expect(person.button("Sign in")).to_have_attribute("aria-disabled", "true")
        person.button("Sign in").click(force=True)
        expect(person.page.get_by_role("timer")).to_contain_text("You can try again now")
        assert len(sent) == 1
    person.press("Sign in")
    person.is_signed_in()


def test_a_forgotten_password_is_set_anew_by_code(
    person: Person, account: Account, stack: Stack
) -> None:
    stack.code(account.email)  # of the registration
    person.visit("/sign-in")
    person.follow("Forgot the password?")
    person.is_at("Reset your password")
    person.fill(E_mail=account.email)
    person.press("Send me a code")
    person.fill(Code=stack.code(account.email), New_password="copper")
    person.press("Set the password")
    expect(person.error_at("New password")).to_contain_text("must satisfy every rule")
    person.fill(New_password=NEW_PASSWORD, Confirm_new_password=NEW_PASSWORD)
    person.press("Set the password")
    person.is_at("Sign in")
    expect(person.field("E-mail")).to_have_value(account.email)
    person.sign_in(account.email, NEW_PASSWORD)
    person.is_signed_in()


def test_who_has_to_sign_in_first_is_brought_back_afterwards(
    person: Person, account: Account
) -> None:
    person.visit("/wallet")
    person.is_at("Sign in")
    person.sign_in(account.email, account.password)
    person.is_at("Wallet")


def test_a_token_that_is_no_longer_good_is_dropped(customer: Person, account: Account) -> None:
    customer.visit("/orders")
    customer.keep_session(token="no.such.token")
    customer.visit("/wallet")
    customer.is_at("Sign in")
    customer.is_signed_out()
    customer.sign_in(account.email, account.password)
    customer.is_at("Wallet")


def test_a_token_is_renewed_before_it_ends(customer: Person) -> None:
    customer.visit("/products")
    before = customer.session()
    customer.keep_session(renewAt=0)
    with customer.requests("POST", "/v1/auth/refresh") as renewals:
        customer.visit("/profile")
        customer.is_at("Account")
    after = customer.session()
    assert len(renewals) == 1
    assert after["token"] != before["token"]
    assert after["refreshToken"] != before["refreshToken"]


def test_a_session_that_ended_while_the_browser_slept_is_dropped(customer: Person) -> None:
    customer.visit("/products")
    customer.keep_session(renewAt=0, expiresAt=0, refreshToken="spent")
    customer.visit("/wallet")
    customer.is_at("Sign in")
    customer.is_signed_out()


def test_what_the_browser_keeps_is_believed_only_when_it_is_whole(person: Person) -> None:
    person.visit("/cart")
    nav = person.page.get_by_role("navigation", name="Main")
    keys = ["lockstep.session", "lockstep.cart", "lockstep.verification"]
    keep = "([keys, text]) => keys.forEach(key => localStorage.setItem(key, text))"
    for damaged in ("", "{", "5", '"text"', "{}", "[null, 7]", '[{"productId": 1}]'):
        person.page.evaluate(keep, [keys, damaged])
        person.page.reload()
        expect(nav.get_by_role("link", name="Sign in")).to_be_visible()
        expect(person.page.get_by_text("Your cart is empty")).to_be_visible()


def test_signing_out_ends_the_session_in_every_tab(customer: Person, api: Api) -> None:
    customer.visit("/profile")
    refresh_token = customer.session()["refreshToken"]
    other = Person(customer.page.context.new_page())
    other.visit("/wallet")
    customer.press("Sign out")
    customer.is_signed_out()
    other.is_signed_out()
    other.is_at("Sign in")
    spent = api.try_call("POST", "/v1/auth/refresh", {"refreshToken": refresh_token})
    assert spent.status_code == 401
