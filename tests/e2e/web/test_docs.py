"""`/docs` shows the API document in a browser, and loads nothing from elsewhere."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, expect

from tests.e2e.stack import Stack

pytestmark = [pytest.mark.browser, pytest.mark.processes]


def test_docs_show_the_operations_and_reach_for_no_other_host(
    browser: Browser, stack: Stack
) -> None:
    page = browser.new_page()
    asked: set[str] = set()
    faults: list[str] = []
    page.on("request", lambda request: asked.add(urlsplit(request.url).netloc))
    page.on("console", lambda line: faults.append(line.text) if line.type == "error" else None)
    page.goto(f"{stack.url}/docs")
    expect(page.locator(".opblock").first).to_be_visible()
    assert page.locator(".opblock").count() > 40
    assert asked - {""} == {urlsplit(stack.url).netloc}  # data: addresses have no host
    assert faults == []
    page.close()
