"""Profiles, brands, passwords, deletion of accounts, and the work of administrators."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.e2e.stack import Stack
from tests.e2e.web.api import NEW_PASSWORD, PASSWORD, Account, Api
from tests.e2e.web.conftest import NewPerson
from tests.e2e.web.person import Person

pytestmark = [pytest.mark.browser, pytest.mark.processes]


def test_a_profile_is_changed_field_by_field(customer: Person, account: Account, api: Api) -> None:
    other = api.register()
    customer.visit("/profile")
    customer.fill(First_name="Augusta", Phone_number="+123")
    customer.press("Save")
    expect(customer.error_at("Phone number")).to_contain_text("must be 10 to 15 digits")
    customer.fill(Phone_number=other.phone)
    customer.press("Save")
    expect(customer.error_at("Phone number")).to_contain_text("belongs to another account")
    customer.fill(Phone_number="", A_few_words="Poetical science.")
    customer.press("Save")
    expect(customer.news("Saved.")).to_be_visible()
    customer.fill(Address="12 St James's Square")  # with the etag of the answer
    customer.press("Save")
    expect(customer.news("Saved.").nth(1)).to_be_visible()
    profile = api.call("GET", "/v1/profiles/me", by=account)
    assert profile["displayName"] == "Augusta Lovelace"
    assert profile["bio"] == "Poetical science."
    assert profile["address"] == "12 St James's Square"
    assert "phoneNumber" not in profile


def test_a_change_made_elsewhere_is_not_overwritten(
    customer: Person, account: Account, api: Api
) -> None:
    customer.visit("/profile")
    api.call("PATCH", "/v1/profiles/me", {"bio": "Elsewhere."}, by=account)
    customer.fill(A_few_words="Here.")
    customer.press("Save")
    expect(customer.button("Load it again")).to_be_visible()
    assert api.call("GET", "/v1/profiles/me", by=account)["bio"] == "Elsewhere."


def test_a_brand_is_changed_and_sells(new_person: NewPerson, api: Api) -> None:
    brand = api.brand()
    person = new_person(brand)
    person.visit("/profile")
    person.fill(Website="https://engines.example.com", Description="Analytical ones.")
    person.field("Kind").select_option("Direct")
    person.press("Save the brand")
    expect(person.news("The brand is saved.")).to_be_visible()
    profile = api.call("GET", "/v1/profiles/me", by=brand)
    assert profile["brand"]["websiteUrl"] == "https://engines.example.com"
    assert profile["brand"]["brandType"] == "direct"
    person.follow("Sell")
    person.is_at("Your products")
    expect(person.page.get_by_role("heading", name="No products yet")).to_be_visible()


def test_a_wrong_current_password_is_told_at_its_field_and_ends_no_session(
    customer: Person, account: Account
) -> None:
    customer.visit("/profile?part=sign-in")
    section = customer.page.locator("section").filter(has_text="Change the password")
    current = section.get_by_label("Current password", exact=True)
    current.fill("Copper-Kettle-8")
    customer.fill(New_password=NEW_PASSWORD, Confirm_new_password=NEW_PASSWORD)
    customer.press("Change the password")
    expect(section.locator(".field-error").first).to_contain_text("password is wrong")
    customer.is_signed_in()
    current.fill(account.password)
    customer.press("Change the password")
    expect(customer.news("The password is changed.")).to_be_visible()
    expect(current).to_have_value("")
    customer.press("Sign out")
    customer.is_signed_out()
    customer.visit("/sign-in")
    customer.sign_in(account.email, NEW_PASSWORD)
    customer.is_signed_in()


def test_an_address_is_changed_by_a_code_to_the_new_one(
    customer: Person, stack: Stack, api: Api
) -> None:
    new = Account()
    customer.visit("/profile?part=sign-in")
    section = customer.page.locator("section").filter(has_text="Change the e-mail")
    section.get_by_label("New e-mail").fill(new.email)
    section.get_by_label("Current password", exact=True).fill(PASSWORD)
    customer.press("Change the e-mail")
    customer.fill(Code=stack.code(new.email))
    customer.press("Confirm")
    expect(customer.page.get_by_text(f"{new.email} · Customer")).to_be_visible()
    assert customer.session()["email"] == new.email
    assert api.login(new)["email"] == new.email


def test_an_account_is_deleted_after_a_second_thought(
    customer: Person, account: Account, api: Api
) -> None:
    customer.visit("/profile?part=delete")
    customer.press("Delete the account")
    customer.press("Keep it")
    expect(customer.page.get_by_role("dialog")).to_have_count(0)
    customer.is_signed_in()
    customer.press("Delete the account")
    customer.press("Delete it")
    expect(customer.news("The account is deleted.")).to_be_visible()
    customer.is_signed_out()
    gone = {"email": account.email, "password": account.password}
    assert api.try_call("POST", "/v1/auth/login", gone).status_code == 401


def test_an_administrator_disables_enables_and_puts_money_in(
    admin: Person, person: Person, account: Account, api: Api
) -> None:
    admin.visit("/admin/users")
    admin.fill(E_mail_begins_with=account.email)
    row = admin.page.locator("tbody").get_by_role("row")
    expect(row).to_have_count(1)
    row.get_by_role("link").click()
    admin.press("Put money in")
    admin.fill(Amount="0")
    admin.press("Put in")
    expect(admin.error_at("Amount")).to_have_text("Amount must be positive.")
    admin.fill(Amount="25.50")
    admin.press("Put in", times=2)
    expect(admin.news(f"$25.50 is in the wallet of {account.email}.")).to_be_visible()
    assert api.balance(account) == 25

    admin.press("Disable the account")
    admin.press("Disable it")
    expect(admin.news(f"{account.email} is disabled.")).to_be_visible()
    person.visit("/sign-in")
    person.sign_in(account.email, account.password)
    expect(person.notice()).to_contain_text("This account is disabled.")
    admin.press("Enable the account")
    expect(admin.news(f"{account.email} is enabled.")).to_be_visible()
    person.press("Sign in")
    person.is_signed_in()


def test_an_administrator_sees_how_an_account_stands_and_ends_sessions(
    admin: Person, customer: Person, account: Account, api: Api
) -> None:
    api.login(account)
    wrong = {"email": account.email, "password": "Wrong-password-1"}
    assert api.try_call("POST", "/v1/auth/login", wrong).status_code == 401
    customer.visit("/profile")
    admin.visit("/admin/users")
    admin.page.get_by_role("row").filter(has_text=account.email).get_by_role("link").click()
    admin.is_at("User")
    expect(admin.page.get_by_text("Active", exact=True)).to_be_visible()
    expect(admin.page.get_by_text("1 wrong password today")).to_be_visible()
    admin.press("Unlock")
    expect(admin.news(f"{account.email} can try again at once.")).to_be_visible()
    expect(admin.page.get_by_text("0 wrong passwords today")).to_be_visible()

    ends = admin.page.get_by_role("button", name="End", exact=True)
    expect(ends).to_have_count(2)
    ends.first.click()
    expect(ends).to_have_count(1)
    admin.press("End all sessions")
    expect(admin.page.get_by_text("The user is signed in nowhere.")).to_be_visible()
    customer.visit("/sessions")  # of Auth, which heeds it at once
    customer.is_signed_out()


def test_an_administrator_takes_a_lost_second_factor_off(
    admin: Person, account: Account, api: Api
) -> None:
    api.second_factor(account)
    assert "mfaToken" in api.login(account)
    admin.visit(f"/admin/users/{account.id}")
    admin.press("Reset second factor")
    admin.press("Keep it")
    assert "mfaToken" in api.login(account)
    admin.press("Reset second factor")
    admin.press("Reset it")
    expect(admin.news(f"{account.email} has no second factor.")).to_be_visible()
    expect(admin.page.get_by_text("There is no second factor.")).to_be_visible()
    assert "token" in api.login(account)


def test_an_administrator_makes_another_and_takes_it_back(
    admin: Person, account: Account, api: Api
) -> None:
    admin.visit(f"/admin/users/{account.id}")
    dialog = admin.page.get_by_role("dialog")
    for deed, told, role in (
        ("Make an administrator", "is an administrator, and sees it", "admin"),
        ("Make a customer", "is a customer.", "customer"),
    ):
        admin.press(deed)
        admin.press("Leave it as it is")
        admin.press(deed)
        dialog.get_by_role("button", name=deed).click()
        expect(admin.news(told)).to_be_visible()
        assert api.call("GET", "/v1/users/me", by=account)["role"] == role


def test_a_role_that_would_be_lost_is_named_and_ones_own_stays(
    admin: Person, admin_account: Account, api: Api
) -> None:
    admin.visit(f"/admin/users/{api.brand().id}")
    admin.press("Make an administrator")
    expect(admin.page.get_by_role("dialog")).to_contain_text("It stops being a brand, and taking")
    admin.press("Leave it as it is")
    admin.visit(f"/admin/users/{admin_account.id}")
    expect(admin.button("Disable the account")).to_be_visible()
    expect(admin.button("Make a customer")).to_have_count(0)
