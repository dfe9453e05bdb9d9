"""A browser, a Lockstep of its own that it talks to, and the people who use it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, expect, sync_playwright

from tests.e2e.stack import Stack
from tests.e2e.web.api import Account, Api
from tests.e2e.web.person import Person

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
PATIENCE_MS = 10_000
DESKTOP = (1200, 850)

expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="session")
def chromium() -> Path:
    """Where the browser is; without one, nothing here is tested."""
    found = shutil.which("chromium") or CHROMIUM
    if not Path(found).exists():
        pytest.skip("the browser client is not tested: there is no chromium on this machine")
    return Path(found)


@pytest.fixture(scope="session")
def api(stack: Stack) -> Iterator[Api]:
    """The REST API, for what has to be there before somebody clicks."""
    with Api(stack) as api:
        yield api


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator[Browser]:
    """One browser; every person has a profile of their own in it.

    A file's, not the session's: while Playwright runs, no event loop can.
    """
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


NewPerson = Callable[..., Person]


@pytest.fixture
def new_person(browser: Browser, stack: Stack, api: Api) -> Iterator[NewPerson]:
    """Let somebody sit down at a browser of their own.

    What no page may do is checked at the end: exceptions, and breaches of the
    Content-Security-Policy.
    """
    contexts: list[BrowserContext] = []
    people: list[Person] = []

    def arrive(
        account: Account | None = None,
        *,
        size: tuple[int, int] = DESKTOP,
        is_dark: bool = False,
    ) -> Person:
        context = browser.new_context(
            base_url=stack.url,
            locale="en-US",
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if is_dark else "light",
            reduced_motion="reduce",
            storage_state=api.signed_in(account) if account else None,
        )
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        person = Person(context.new_page())
        people.append(person)
        return person

    yield arrive
    for context in contexts:
        context.close()
    assert [fault for person in people for fault in person.faults] == []


@pytest.fixture
def person(new_person: NewPerson) -> Person:
    """Somebody who is not signed in."""
    return new_person()


@pytest.fixture
def account(api: Api) -> Account:
    """A customer's account."""
    return api.register()


@pytest.fixture
def customer(new_person: NewPerson, account: Account) -> Person:
    """That customer, signed in."""
    return new_person(account)


@pytest.fixture(scope="session")
def admin_account(api: Api) -> Account:
    """An administrator's account."""
    return api.administrator()


@pytest.fixture
def admin(new_person: NewPerson, admin_account: Account) -> Person:
    """The administrator, signed in."""
    return new_person(admin_account)
