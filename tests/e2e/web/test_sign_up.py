"""Sign-up: from the first key to the products page."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.e2e.stack import Stack
from tests.e2e.web.api import PASSWORD, Account, Api
from tests.e2e.web.person import Person

pytestmark = [pytest.mark.browser, pytest.mark.processes]


def test_a_customer_registers_is_signed_in_and_sees_the_products(person: Person, api: Api) -> None:
    account = Account()
    person.describe(account, Address="123 Main St")
    with (
        person.requests("POST", "/api/auth/register") as registrations,
        person.requests("POST", "/api/auth/login") as logins,
        person.requests("POST", "/v1/profiles") as profiles,
    ):
        person.press("Create account")
        person.is_at("Good things, made well")
    person.is_signed_in()
    assert (len(registrations), len(logins), len(profiles)) == (1, 1, 0)
    assert person.session()["email"] == account.email
    profile = api.call("GET", "/v1/profiles/me", by=account)
    assert profile["displayName"] == "Ada Lovelace"
    assert (profile["phoneNumber"], profile["address"]) == (account.phone, "123 Main St")


def test_the_form_is_empty_after_it_was_used(person: Person) -> None:
    person.describe(Account())
    person.press("Create account")
    person.is_signed_in()
    person.sign_out()
    person.visit("/sign-up")
    for label in ("Full name", "E-mail", "Phone number", "Password", "Confirm password"):
        expect(person.field(label)).to_have_value("")


@pytest.mark.parametrize(
    ("role", "fields", "expected"),
    [
        ("Creator", {"First_name": "Ada", "Last_name": "King"}, {"displayName": "Ada King"}),
        (
            "Student",
            {"Full_name": "Ada King", "Course": "Computer Science"},
            {"course": "Computer Science"},
        ),
    ],
)
def test_every_role_has_fields_of_its_own(
    person: Person, api: Api, role: str, fields: dict[str, str], expected: dict[str, str]
) -> None:
    account = Account()
    person.visit("/sign-up")
    person.page.get_by_role("radio", name=role).check()
    person.fill(**fields, E_mail=account.email, Password=PASSWORD, Confirm_password=PASSWORD)
    person.press("Create account")
    person.is_signed_in()
    profile = api.call("GET", "/v1/profiles/me", by=account)
    assert {name: profile[name] for name in expected} == expected
    assert api.call("GET", "/v1/users/me", by=account)["role"] == role.lower()


def test_a_brand_gets_its_brand(person: Person) -> None:
    account = Account()
    person.visit("/sign-up")
    person.page.get_by_role("radio", name="Brand").check()
    person.press("Create account")
    expect(person.error_at("Company")).to_have_text("Company is required.")
    expect(person.error_at("Company size")).to_have_text("Company size is required.")
    person.fill(First_name="Ada", Last_name="King", E_mail=account.email, Company="Engines Ltd")
    person.field("Company size").select_option("11-50")
    person.fill(Your_role_there="Marketing Manager")
    person.fill(Password=PASSWORD, Confirm_password=PASSWORD)
    person.press("Create account")
    person.is_at("Your products")
    person.is_signed_in()
    expect(person.page.get_by_role("link", name="Confirm your e-mail address")).to_be_visible()
    person.visit("/profile")
    brand = person.page.locator("section").filter(has_text="Your brand")
    expect(brand.get_by_label("Name", exact=True)).to_have_value("Engines Ltd")
    expect(brand.get_by_label("Company size")).to_have_value("11-50")
    expect(brand.get_by_label("Your role there")).to_have_value("marketing-manager")


@pytest.mark.parametrize(
    ("label", "wrong", "fault", "right"),
    [
        ("E-mail", "ada@", "E-mail must be an e-mail address", "ada@example.com"),
        ("E-mail", "ada @example.com", "E-mail must be an e-mail address", "ada@example.com"),
        ("Phone number", "+123", "Phone number must be 10 to 15 digits", "+1 (555) 010-0100"),
        ("Phone number", "1234567890123456", "Phone number must be 10", "+1234567890"),
        ("Full name", "x" * 101, "Full name must be at most 100", "x" * 100),
        ("Password", "Copper7", "Password must satisfy every rule", PASSWORD),
        ("Password", f"{PASSWORD}{'x' * 60}", "must have 72 bytes at most", PASSWORD),
    ],
)
def test_a_rule_is_checked_while_typing(
    person: Person, label: str, wrong: str, fault: str, right: str
) -> None:
    person.visit("/sign-up")
    field = person.field(label)
    field.fill(wrong)
    expect(person.error_at(label)).to_contain_text(fault)  # the field was not left
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_be_focused()
    field.fill(right)
    expect(person.error_at(label)).to_be_empty()


def test_the_strength_of_a_password_is_shown_rule_by_rule(person: Person) -> None:
    person.visit("/sign-up")
    rules = person.page.locator(".strength li")
    held: list[Any] = []
    for text in ("", "c", "cO", "cO7", "cO7-", "cO7-kett"):
        person.field("Password").fill(text)
        held.append(rules.and_(person.page.locator(".holds")).count())
    assert held == [0, 1, 2, 3, 4, 5]


def test_both_passwords_have_to_match_whichever_is_changed(person: Person) -> None:
    person.visit("/sign-up")
    person.fill(Password=PASSWORD, Confirm_password="Copper-Kettle-8")
    person.field("E-mail").focus()
    expect(person.error_at("Confirm password")).to_contain_text("must be the same")
    person.fill(Password="Copper-Kettle-8")
    expect(person.error_at("Confirm password")).to_be_empty()


def test_nothing_is_sent_before_every_field_is_right(person: Person) -> None:
    person.visit("/sign-up")
    with person.requests("POST", "/api/auth/register") as sent:
        person.press("Create account")
        for label in ("Full name", "E-mail", "Phone number", "Password", "Confirm password"):
            expect(person.error_at(label)).to_have_text(f"{label} is required.")
        expect(person.error_at("Address")).to_be_empty()
        expect(person.field("Full name")).to_be_focused()
    assert sent == []


def test_what_only_the_server_knows_is_shown_at_the_field(person: Person, api: Api) -> None:
    taken, account = api.register(), Account()
    person.describe(account, E_mail=taken.email.upper())
    person.press("Create account")
    expect(person.error_at("E-mail")).to_contain_text("has an account already")
    expect(person.field("E-mail")).to_be_focused()
    person.fill(E_mail=account.email, Phone_number=taken.phone)
    person.press("Create account")
    expect(person.error_at("Phone number")).to_contain_text("belongs to another account")
    person.fill(Phone_number=account.phone, Password="P@ssw0rd1", Confirm_password="P@ssw0rd1")
    person.press("Create account")
    expect(person.error_at("Password")).to_contain_text("most common passwords")
    expect(person.error_at("E-mail")).to_be_empty()
    person.fill(Password=PASSWORD, Confirm_password=PASSWORD)
    person.press("Create account")
    person.is_signed_in()


def test_a_double_click_makes_one_account(person: Person) -> None:
    person.describe(Account())
    with person.requests("POST", "/api/auth/register") as sent:
        person.press("Create account", times=2)
        person.is_signed_in()
    assert len(sent) == 1


def test_a_lost_reply_is_asked_for_again_and_makes_one_account(person: Person, api: Api) -> None:
    account = Account()
    person.describe(account)
    keys = person.lose_the_first_reply("**/api/auth/register")
    person.press("Create account")
    expect(person.notice()).to_contain_text("can't be reached")
    person.press("Create account")
    person.is_signed_in()
    assert len(keys) == 2
    assert keys[0] == keys[1]
    assert api.call("GET", "/v1/users/me", by=account)["email"] == account.email


def test_a_stopped_profile_service_is_waited_for_and_nothing_is_left_behind(
    person: Person, stack: Stack, api: Api
) -> None:
    account = Account()
    person.describe(account)
    with stack.stopped("profile"):
        person.press("Create account")
        expect(person.notice()).to_contain_text("nothing was registered")
        expect(person.page.get_by_role("timer")).to_contain_text("Please wait")
        refused = {"email": account.email, "password": account.password}
        assert api.try_call("POST", "/v1/auth/login", refused).status_code == 401
    expect(person.page.get_by_role("timer")).to_contain_text("You can try again now")
    person.press("Create account")
    person.is_signed_in()
