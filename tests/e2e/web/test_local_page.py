"""The local page in a browser: what developers and operators see on the first day."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect

from tests.e2e.stack import Stack
from tests.e2e.web.api import Account, Api
from tests.e2e.web.conftest import DESKTOP, PHONE
from tests.e2e.web.test_looks import access_faults, add_axe, overflow, picture

pytestmark = [pytest.mark.browser, pytest.mark.processes]

OpenPage = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser, stack: Stack) -> Iterator[OpenPage]:
    """Open the local page. At the end, check that nothing broke its Content-Security-Policy."""
    contexts: list[BrowserContext] = []
    faults: list[str] = []

    def hear(line: ConsoleMessage) -> None:
        if line.type == "error" and "Failed to load resource" not in line.text:
            faults.append(line.text)

    def visit(path: str = "/", **settings: Any) -> Page:
        url = f"http://localhost:{stack.environment['LOCKSTEP_PAGE_PORT']}"
        context = browser.new_context(base_url=url, locale="en-US", **settings)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", hear)
        page.goto(path)
        return page

    yield visit
    for context in contexts:
        context.close()
    assert faults == []


@pytest.fixture(scope="module")
def person(api: Api) -> Account:
    """Register somebody: a saga and a mail."""
    return api.register()


def paths_of(page: Page) -> list[str]:
    """Return every kind of page, with one saga and one mail."""
    found = ["/", "/sagas", "/mail", "/errors", "/errors?level=warning"]
    for listed in ("/sagas", "/mail"):
        page.goto(listed)
        first = page.locator("tbody a").first
        expect(first).to_be_visible()
        found.append(str(first.get_attribute("href")))
    return found


def test_the_overview_shows_what_status_tells(open_page: OpenPage, stack: Stack) -> None:
    rows = [json.loads(line) for line in stack.command("status", "--json").splitlines()]
    page = open_page()
    expect(page.get_by_role("heading", level=1)).to_have_text("Everything works")
    for row in rows:
        name = row["process"] if row["kind"] == "process" else f"{row['kind']} of {row['subject']}"
        shown = page.get_by_role("row").filter(
            has=page.get_by_role("rowheader", name=name, exact=True)
        )
        expect(shown).to_have_count(1)
        if row["kind"] == "process":
            expect(shown).to_contain_text(row["state"])
    for name in ("Shop", "API"):
        link = page.get_by_role("link", name=name, exact=True)
        assert str(link.get_attribute("href")).startswith(stack.url)
    metrics = page.get_by_role("link", name="metrics of auth").get_attribute("href")
    assert "lockstep_serving" in page.request.get(str(metrics)).text()


def test_what_is_wrong_is_told_and_gone_by_itself(open_page: OpenPage, stack: Stack) -> None:
    with stack.stopped("profile"):
        page = open_page()
        expect(page.get_by_role("heading", level=1)).to_have_text("One thing is wrong")
        expect(page.get_by_text("profile is NOT_SERVING")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_have_text("Everything works", timeout=30_000)


def test_a_saga_is_told_step_by_step(open_page: OpenPage, person: Account) -> None:
    page = open_page("/sagas?state=done")
    page.get_by_role("link", name=re.compile("^registration ")).first.click()
    steps = page.locator(".steps li")
    expect(steps).to_contain_text(["auth began it", "profile CreateProfile is done", "final"])
    times = steps.locator("time").evaluate_all("all => all.map(each => each.dateTime)")
    assert times == sorted(times)


def test_a_mail_looks_as_its_reader_sees_it(open_page: OpenPage, person: Account) -> None:
    page = open_page("/mail")
    page.get_by_label("Address").fill(person.email)
    page.get_by_role("button", name="Search").click()
    listed = page.get_by_role("link", name=re.compile(r"^\d{6} "))
    expect(listed).to_have_count(1)
    code = listed.inner_text()[:6]
    listed.click()
    expect(page.frame_locator("iframe").get_by_text(code, exact=True)).to_be_visible()
    expect(page.get_by_label("The text of the mail")).to_contain_text(code)


def test_new_mail_appears_by_itself_and_takes_no_focus(
    open_page: OpenPage, api: Api, person: Account
) -> None:
    page = open_page("/mail")
    page.get_by_label("Address").focus()
    account = api.register()
    expect(page.get_by_text(account.email)).to_be_visible(timeout=30_000)
    expect(page.get_by_label("Address")).to_be_focused()


def test_everything_is_there_without_scripts(open_page: OpenPage, person: Account) -> None:
    page = open_page(java_script_enabled=False)
    expect(page.get_by_role("heading", level=1)).to_have_text("Everything works")
    page.get_by_role("link", name="Mail").click()
    page.get_by_label("Address").fill(person.email)
    page.keyboard.press("Enter")
    expect(page.get_by_role("cell", name=person.email)).to_be_visible()


def test_who_reads_an_old_page_is_told(open_page: OpenPage) -> None:
    page = open_page("/mail")
    page.route("**/mail", lambda route: route.abort())
    expect(page.locator("body.stale")).to_have_count(1, timeout=30_000)
    expect(page.get_by_role("status")).to_contain_text("Lockstep does not answer; this is old.")


@pytest.mark.parametrize("kind", ["wide", "phone", "dark"])
def test_every_page_fits_and_is_pictured(open_page: OpenPage, person: Account, kind: str) -> None:
    width, height = PHONE if kind == "phone" else DESKTOP
    page = open_page(
        viewport={"width": width, "height": height},
        color_scheme="dark" if kind == "dark" else "light",
    )
    names = ("overview", "sagas", "mails", "errors", "warnings", "saga", "mail")
    for path, name in zip(paths_of(page), names, strict=True):
        page.goto(path)
        picture(page, f"/page/{name}", kind)
        assert overflow(page) <= 0, path


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_has_a_fault_of_access(open_page: OpenPage, person: Account, scheme: str) -> None:
    # Playwright's own evaluation needs no script element, so the policy stays as it is.
    page = open_page(color_scheme=scheme)
    add_axe(page)
    found = []
    for path in paths_of(page):
        page.goto(path)
        found += access_faults(page, path)
    assert found == []


def test_the_keyboard_reaches_everything(open_page: OpenPage) -> None:
    page = open_page("/sagas")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="all", exact=True)).to_be_focused()
