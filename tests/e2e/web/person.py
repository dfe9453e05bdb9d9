"""What somebody at a browser does and sees."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import ConsoleMessage, Locator, Page, Request, expect

SESSION = "lockstep.session"

_GO = """path => new Promise(shown => {
    addEventListener("pageshown", shown, { once: true });
    location.hash = path;
})"""


class Person:
    """Somebody at a browser.

    Args:
        page: The tab in front of them.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.faults: list[str] = []
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", self._hear)

    def _hear(self, message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            self.faults.append(message.text)

    # What they do.

    def visit(self, path: str) -> None:
        """Go to a page of the client, and wait until it is there."""
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
        """Click a button; more than once before anything that follows from it."""
        button = self.button(name)
        if times == 1:
            button.click()
        else:
            button.focus()
            button.evaluate("(it, times) => { while (times--) it.click(); }", times)

    def follow(self, name: str) -> None:
        """Click a link."""
        self.page.get_by_role("link", name=name, exact=True).first.click()

    def sign_in(self, email: str, password: str) -> None:
        """Fill in the form for it, and send it."""
        self.fill(E_mail=email, Password=password)
        self.press("Sign in")

    # What they see.

    def field(self, label: str) -> Locator:
        """The field with a label."""
        return self.page.get_by_label(label, exact=True)

    def button(self, name: str) -> Locator:
        """A button."""
        return self.page.get_by_role("button", name=name, exact=True)

    def error_at(self, label: str) -> Locator:
        """What is said to be wrong at a field."""
        field = self.page.locator("form-field").filter(has=self.field(label))
        return field.locator(".field-error")

    def notice(self) -> Locator:
        """What a form says as a whole."""
        return self.page.get_by_role("alert").filter(has_text=re.compile(r"\S"))

    def news(self, text: str) -> Locator:
        """A short message at the edge of the page."""
        return self.page.locator(".toast").filter(has_text=text)

    def is_at(self, heading: str) -> None:
        """See the page with a heading."""
        expect(self.page.get_by_role("heading", level=1, name=heading, exact=True)).to_be_visible()

    def is_signed_in(self) -> None:
        """See what only somebody sees who is signed in."""
        expect(self.page.get_by_role("link", name="Wallet")).to_be_visible()

    def is_signed_out(self) -> None:
        """See the way in."""
        nav = self.page.get_by_role("navigation", name="Main")
        expect(nav.get_by_role("link", name="Sign in")).to_be_visible()
        assert self.session() is None

    # What they don't see.

    def session(self) -> Any:
        """Return what the browser has kept of the session."""
        return json.loads(self.page.evaluate(f"localStorage.getItem('{SESSION}')") or "null")

    def keep_session(self, **changes: Any) -> None:
        """Change what the browser has kept of the session."""
        text = json.dumps(self.session() | changes)
        self.page.evaluate("([key, text]) => localStorage.setItem(key, text)", [SESSION, text])

    @contextmanager
    def requests(self, method: str, path: str) -> Iterator[list[Request]]:
        """Collect the requests of a method and path that are made meanwhile."""
        made: list[Request] = []

        def hear(request: Request) -> None:
            if request.method == method and request.url.partition("?")[0].endswith(path):
                made.append(request)

        self.page.on("request", hear)
        yield made
        self.page.remove_listener("request", hear)
