"""A person at a browser: their actions, and the page that they see."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import ConsoleMessage, Locator, Page, Request, Route, expect
from playwright.sync_api import Error as PlaywrightError

from tests.e2e.web.api import Account

SESSION = "lockstep.session"
HELD_BACK = "csp"

_GO = """path => new Promise(shown => {
    addEventListener("pageshown", shown, { once: true });
    location.hash = path;
})"""


class Person:
    """A person at a browser.

    Args:
        page: The open tab.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.faults: list[str] = []
        self.console: list[str] = []
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", self._hear)
        page.on("requestfinished", self._look_at)
        page.on("requestfailed", self._look_at)

    def _hear(self, message: ConsoleMessage) -> None:
        self.console.append(message.text)
        if "Content Security Policy" in message.text:
            self.faults.append(message.text)

    def _look_at(self, request: Request) -> None:
        """Note a request to another host, unless the browser itself has held it back."""
        is_own = urlsplit(request.url).hostname in (None, "127.0.0.1")
        if not is_own and request.failure != HELD_BACK:
            self.faults.append(f"asked another host: {request.url}")

    # Actions.

    def visit(self, path: str) -> None:
        """Go to a page of the client, and wait until it is shown."""
        if self.page.url == "about:blank":
            self.page.goto(f"/#{path}")
            expect(self.page.locator("main h1")).to_be_visible()
        else:
            self.page.evaluate(_GO, path)
        expect(self.page.locator("main [aria-busy=true]")).to_have_count(0)

    def fill(self, **fields: str) -> None:
        """Type into fields, named by their labels with _ for spaces."""
        for label, text in fields.items():
            self.field(label.replace("_", " ").replace("E mail", "E-mail")).fill(text)

    def press(self, name: str, *, times: int = 1) -> None:
        """Click a button, perhaps several times before the page reacts."""
        button = self.button(name)
        if times == 1:
            button.click()
        else:
            button.focus()
            button.evaluate("(it, times) => { while (times--) it.click(); }", times)

    def follow(self, name: str) -> None:
        """Click a link."""
        self.page.get_by_role("link", name=name, exact=True).first.click()

    def describe(self, account: Account, **changes: str) -> None:
        """Fill in the form to sign up as a customer."""
        self.visit("/sign-up")
        details = {
            "Full_name": account.full_name,
            "E_mail": account.email,
            "Phone_number": account.phone,
            "Password": account.password,
            "Confirm_password": account.password,
        }
        self.fill(**details | changes)

    def sign_in(self, email: str, password: str) -> None:
        """Fill in the sign-in form, and send it."""
        self.fill(E_mail=email, Password=password)
        self.press("Sign in")

    def sign_out(self) -> None:
        """Sign out at the profile."""
        self.visit("/profile")
        self.press("Sign out")
        self.is_signed_out()

    # The page.

    def field(self, label: str) -> Locator:
        """Return the field with a label."""
        return self.page.get_by_label(label, exact=True)

    def button(self, name: str) -> Locator:
        """Return a button."""
        return self.page.get_by_role("button", name=name, exact=True)

    def error_at(self, label: str) -> Locator:
        """Return the error text at a field."""
        field = self.page.locator("form-field").filter(has=self.field(label))
        return field.locator(".field-error")

    def notice(self) -> Locator:
        """Return the text for the form as a whole."""
        return self.page.get_by_role("alert").filter(has_text=re.compile(r"\S"))

    def news(self, text: str) -> Locator:
        """Return the short message at the edge of the page."""
        return self.page.locator(".toast").filter(has_text=text)

    def is_at(self, heading: str) -> None:
        """Expect the page with a heading."""
        expect(self.page.get_by_role("heading", level=1, name=heading, exact=True)).to_be_visible()

    def is_at_an_order(self) -> None:
        """Expect the page of an order, which its number names."""
        heading = re.compile(r"^Order [0-9A-Z]{4}-[0-9A-Z]{4}$")
        expect(self.page.get_by_role("heading", level=1, name=heading)).to_be_visible()

    def is_signed_in(self) -> None:
        """Expect the parts of the page for signed-in users."""
        expect(self.page.get_by_role("link", name="Wallet")).to_be_visible()

    def is_signed_out(self) -> None:
        """Expect the link to sign in."""
        nav = self.page.get_by_role("navigation", name="Main")
        expect(nav.get_by_role("link", name="Sign in")).to_be_visible()
        assert self.session() is None

    # Behind the page.

    def story(self) -> str:
        """Return what the page shows now, and all that its console has told."""
        try:
            seen = self.page.inner_text("body", timeout=1000)
        except PlaywrightError as error:
            seen = f"(it can not be read: {error})"
        return "\n".join([self.page.url, seen, "The console:", *self.console])

    def session(self) -> Any:
        """Return the browser's stored session."""
        return json.loads(self.page.evaluate(f"localStorage.getItem('{SESSION}')") or "null")

    def keep_session(self, **changes: Any) -> None:
        """Change the browser's stored session."""
        text = json.dumps(self.session() | changes)
        self.page.evaluate("([key, text]) => localStorage.setItem(key, text)", [SESSION, text])

    @contextmanager
    def requests(self, method: str, path: str) -> Iterator[list[Request]]:
        """Collect the requests of a method and path that the page makes during the context."""
        made: list[Request] = []

        def hear(request: Request) -> None:
            if request.method == method and request.url.partition("?")[0].endswith(path):
                made.append(request)

        self.page.on("request", hear)
        yield made
        self.page.remove_listener("request", hear)

    @contextmanager
    def unanswered(self, urls: str | re.Pattern[str]) -> Iterator[None]:
        """Let requests wait for their answers until the context ends."""
        held: list[Route] = []
        is_over = False

        def hold(route: Route) -> None:
            if is_over:
                route.continue_()
            else:
                held.append(route)

        self.page.route(urls, hold)
        yield
        is_over = True
        for route in held:
            route.continue_()
        self.page.unroute(urls, hold)

    def lose_the_first_reply(self, path: str) -> list[str]:
        """Lose the reply to the first request to a path; return the keys of all, as they come."""
        keys: list[str] = []

        def answer(route: Route) -> None:
            keys.append(route.request.headers["idempotency-key"])
            if len(keys) > 1:
                route.continue_()
                return
            route.fetch()
            route.abort()

        self.page.route(path, answer)
        return keys
