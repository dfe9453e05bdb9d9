"""A browser, a Lockstep for it, and its users."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, expect, sync_playwright

from tests.e2e.stack import Stack, running_stack
from tests.e2e.web.api import Account, Api
from tests.e2e.web.person import Person
from tests.e2e.web.site import Site, furnish

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
# A page waits 15 s for an answer before it tells the reader.
PATIENCE_MS = 20_000
DESKTOP = (1200, 850)
TABLET = (820, 1180)
PHONE = (360, 740)

PEOPLE = pytest.StashKey[list[Person]]()

expect.set_options(timeout=PATIENCE_MS)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Say with a failed test what each person saw last."""
    report = yield
    if report.when == "call" and report.failed:
        for person in item.stash.get(PEOPLE, []):
            report.sections.append(("a person's page", person.story()))
    return report


@pytest.fixture(scope="session")
def chromium() -> Path:
    """Return the path of the browser; without one, skip all tests here."""
    found = shutil.which("chromium") or CHROMIUM
    if not Path(found).exists():
        pytest.skip("the browser client is not tested: there is no chromium on this machine")
    return Path(found)


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """Run a `lockstep up` for the browser alone: what other tests fill theirs with is not here."""
    with running_stack() as stack:
        yield stack


@pytest.fixture(scope="session")
def api(stack: Stack) -> Iterator[Api]:
    """Return the REST API, which prepares the data of the tests."""
    with Api(stack) as api:
        yield api


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator[Browser]:
    """Start a browser, in which every person has a profile of their own.

    It lives for a file, not for the session: no event loop can run beside Playwright.
    """
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


NewPerson = Callable[..., Person]


@pytest.fixture
def new_person(
    browser: Browser, stack: Stack, api: Api, request: pytest.FixtureRequest
) -> Iterator[NewPerson]:
    """Give a person a browser of their own.

    At the end, check that no page raised exceptions or broke the Content-Security-Policy.
    """
    contexts: list[BrowserContext] = []
    people = request.node.stash.setdefault(PEOPLE, [])

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
    """Return a person who is not signed in."""
    return new_person()


@pytest.fixture
def account(api: Api) -> Account:
    """Register a customer."""
    return api.register()


@pytest.fixture
def customer(new_person: NewPerson, account: Account) -> Person:
    """Sign that customer in."""
    return new_person(account)


@pytest.fixture(scope="session")
def admin_account(api: Api) -> Account:
    """Make an administrator."""
    return api.administrator()


@pytest.fixture(scope="session")
def site(api: Api, admin_account: Account) -> Site:
    """Furnish the shop, so that every page has something to show."""
    return furnish(api, admin_account)


@pytest.fixture
def admin(new_person: NewPerson, admin_account: Account) -> Person:
    """Sign that administrator in."""
    return new_person(admin_account)
