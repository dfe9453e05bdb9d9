"""What a first and a second visit of the shop cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.stack import Stack
from tests.e2e.web.api import Account, Api
from tests.e2e.web.person import Person

pytestmark = [pytest.mark.browser, pytest.mark.processes]

FIRST_REQUESTS_MAX = 30
FIRST_BYTES_MAX = 100 * 1024


@dataclass
class Visit:
    """What came over the network, without pictures of products."""

    urls: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, float] = field(default_factory=dict)

    def answered(self, event: dict[str, Any]) -> None:
        """Note an answer, of the network or of the browser's own store."""
        if "/v1/images/" in event["response"]["url"]:
            return
        self.urls[event["requestId"]] = event["response"]["url"]

    def loaded(self, event: dict[str, Any]) -> None:
        """Note the bytes of an answer, heads included; 0: the browser had it."""
        if event["requestId"] in self.urls:
            self.sizes[event["requestId"]] = event["encodedDataLength"]

    def paths(self) -> list[str]:
        """Return the paths of the answers that came over the network."""
        return [urlsplit(url).path for key, url in self.urls.items() if self.sizes.get(key, 1) > 0]


def visit(page: Page) -> Visit:
    """Open the shop, and wait for its first page."""
    seen = Visit()
    network = page.context.new_cdp_session(page)
    network.on("Network.responseReceived", seen.answered)
    network.on("Network.loadingFinished", seen.loaded)
    network.send("Network.enable")
    page.goto("/")
    expect(page.locator("main h1")).to_be_visible()
    expect(page.locator("main [aria-busy=true]")).to_have_count(0)
    page.wait_for_load_state("networkidle")
    network.detach()
    return seen


def test_the_first_visit_is_small_and_the_second_asks_for_the_document_alone(
    person: Person, stack: Stack
) -> None:
    first = visit(person.page)
    assert len(first.paths()) <= FIRST_REQUESTS_MAX, first.paths()
    assert sum(first.sizes.values()) <= FIRST_BYTES_MAX
    assert all(url.startswith(stack.url) for url in first.urls.values())
    asked = [url for url in first.urls.values() if "/v1/" in url]
    assert len(asked) == len(set(asked))  # what the document asks for, the page takes
    person.page.goto("about:blank")
    second = visit(person.page)
    files = [path for path in second.paths() if not path.startswith("/v1/")]
    assert files == ["/"]


def test_a_picture_of_another_host_is_not_asked_for(
    person: Person, api: Api, admin_account: Account
) -> None:
    category = api.category("Postcards", by=admin_account)
    product = api.product(category, "Postcard", units=2, by=admin_account)
    elsewhere = {"imageUrl": "https://images.example.com/postcard.jpg", "etag": product["etag"]}
    path = f"/v1/products/{product['id']}"
    api.call("PATCH", path, elsewhere, by=admin_account, updateMask="imageUrl")
    person.visit(f"/products/{product['id']}")
    expect(person.page.locator(".product svg.drawing")).to_be_visible()
    expect(person.page.locator(".product img")).to_have_count(0)
    api.call("DELETE", path, by=admin_account)  # or the other tests would meet it
    assert all("img-src" in fault for fault in person.faults)  # and no other fault
    assert person.faults
    person.faults.clear()
