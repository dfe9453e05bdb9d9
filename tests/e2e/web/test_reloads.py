"""A reload at any step of a flow goes on where its reader was."""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import expect

from tests.e2e.stack import Stack
from tests.e2e.web.api import NEW_PASSWORD, PASSWORD, Account, Api
from tests.e2e.web.person import Person

pytestmark = [pytest.mark.browser, pytest.mark.processes]

STORED = "JSON.stringify({ ...sessionStorage, ...localStorage })"


def test_a_sign_up_by_code(person: Person, stack: Stack) -> None:
    account = Account()
    person.visit("/sign-up/code")
    person.fill(E_mail=account.email, Password=PASSWORD, Confirm_password=PASSWORD)
    person.press("Send me a code")
    expect(person.field("Code")).to_be_visible()
    code = stack.code(account.email)
    person.page.reload()
    expect(person.page.get_by_text(account.email)).to_be_visible()
    assert PASSWORD not in person.page.evaluate(STORED)
    person.fill(Code=code)
    person.press("Create account")
    person.is_at("Sign in")
    expect(person.field("E-mail")).to_have_value(account.email)
    person.fill(Password=PASSWORD)
    person.press("Sign in")
    person.is_signed_in()


def test_a_sign_up_that_was_given_up_after_a_reload_begins_anew(person: Person) -> None:
    account = Account()
    person.visit("/sign-up/code")
    person.fill(E_mail=account.email, Password=PASSWORD, Confirm_password=PASSWORD)
    person.press("Send me a code")
    expect(person.field("Code")).to_be_visible()
    person.page.reload()
    person.press("Back")
    expect(person.field("E-mail")).to_be_visible()
    person.page.reload()
    expect(person.field("E-mail")).to_be_visible()


def test_a_new_password(person: Person, account: Account, stack: Stack) -> None:
    stack.code(account.email)  # of the registration
    person.visit("/reset")
    person.fill(E_mail=account.email)
    person.press("Send me a code")
    expect(person.field("Code")).to_be_visible()
    person.page.reload()
    person.fill(Code=stack.code(account.email))
    person.fill(New_password=NEW_PASSWORD, Confirm_new_password=NEW_PASSWORD)
    person.press("Set the password")
    person.is_at("Sign in")
    person.fill(Password=NEW_PASSWORD)
    person.press("Sign in")
    person.is_signed_in()


def test_a_new_address(customer: Person, stack: Stack) -> None:
    new = Account()
    customer.visit("/profile?part=sign-in")
    customer.field("New e-mail").fill(new.email)
    form = customer.page.locator("action-form").filter(has_text="Change the e-mail")
    form.get_by_label("Current password", exact=True).fill(PASSWORD)
    customer.press("Change the e-mail")
    expect(customer.field("Code")).to_be_visible()
    customer.page.reload()
    customer.fill(Code=stack.code(new.email))
    customer.press("Confirm")
    expect(customer.news("Your e-mail address is confirmed.")).to_be_visible()
    assert customer.session()["email"] == new.email


def test_the_confirmation_of_an_address(person: Person, stack: Stack) -> None:
    account = Account()
    person.describe(account)
    person.press("Create account")
    person.is_signed_in()
    person.page.reload()
    person.follow("Confirm your e-mail address")
    person.is_at("Confirm your e-mail")
    person.page.reload()
    person.fill(Code=stack.code(account.email))
    person.press("Confirm")
    expect(person.news("Your e-mail address is confirmed.")).to_be_visible()


def test_the_second_step_of_a_sign_in(person: Person, account: Account, api: Api) -> None:
    recovery, *_ = api.second_factor(account)
    person.visit("/sign-in?to=%2Fwallet")
    person.sign_in(account.email, account.password)
    expect(person.field("Code")).to_be_visible()
    person.page.reload()
    person.fill(Code=recovery)
    person.press("Go on")
    person.is_at("Wallet")


def test_the_second_step_of_a_sign_in_ends_when_the_server_ends_it(
    person: Person, account: Account, api: Api
) -> None:
    api.second_factor(account)
    person.visit("/sign-in")
    person.sign_in(account.email, account.password)
    expect(person.field("Code")).to_be_visible()
    refusal = {
        "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "OTP_EXPIRED"}]
    }
    person.page.route(
        "**/v1/auth/mfa/verify", lambda route: route.fulfill(status=400, json=refusal)
    )
    person.fill(Code="123456")
    person.press("Go on")
    expect(person.notice()).to_contain_text("Enter your password again.")
    person.page.clock.set_fixed_time(time.time() + 5 * 60 + 1)
    person.page.reload()
    expect(person.field("Password")).to_be_visible()
