"""The first visit of the shop on a slow line, in a real browser."""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from playwright.async_api import Browser, Page, async_playwright

from tests.bench.lab import CHEAP, Lab
from tests.bench.report import Finding

LATENCY_MS: Final = 400
LINE_BYTES_A_SECOND: Final = 400_000 // 8
PHONE: Final = {"width": 360, "height": 740}
FLAGS: Final = ("--no-sandbox", "--disable-background-networking", "--disable-component-update")
SETTLED_SECONDS: Final = 60
FIRST_SECONDS_MAX: Final = 3.0
REQUESTS_MAX: Final = 30
BYTES_MAX: Final = 100 * 1024
SHIFT_MAX: Final = 0.02

# When the first product was painted, and how far things have jumped.
_WATCH: Final = """
globalThis.seen = { product: 0, shift: 0 };
new MutationObserver((_, observer) => {
    if (!document.querySelector(".product-card")) return;
    observer.disconnect();
    requestAnimationFrame(() => setTimeout(() => { seen.product = performance.now(); }));
}).observe(document, { childList: true, subtree: true });
new PerformanceObserver(list => {
    for (const entry of list.getEntries()) if (!entry.hadRecentInput) seen.shift += entry.value;
}).observe({ type: "layout-shift", buffered: true });
"""


@dataclass  # Playwright marks the object whose methods it calls, so it has no slots
class Visit:
    """What a first visit took.

    Attributes:
        seconds: The time until the first product was seen.
        shift: How far things have jumped (Cumulative Layout Shift).
        bytes_of: The bytes of each answer with its head, but for pictures.
    """

    seconds: float = 0.0
    shift: float = 0.0
    bytes_of: dict[str, float] = field(default_factory=dict)

    def asked(self, event: dict[str, Any]) -> None:
        """Note a request."""
        if event.get("type") != "Image":
            self.bytes_of[event["requestId"]] = 0.0

    def loaded(self, event: dict[str, Any]) -> None:
        """Note the bytes of an answer."""
        if event["requestId"] in self.bytes_of:
            self.bytes_of[event["requestId"]] = event["encodedDataLength"]


async def shop(lab: Lab) -> list[Finding]:
    """Visit the shop with an empty cache, at 400 ms of latency and 400 kbit/s."""
    if not (chromium := shutil.which("chromium")):
        reason = "left out: there is no chromium on this machine"
        return [Finding("shop", "first product on a slow line", reason, "", "", is_met=None)]
    rounds, _ = lab.rounds(1.0)
    async with lab.running(**CHEAP), async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        try:
            visits = []
            for turn in range(rounds):
                lab.say(f"a first visit of the shop, {turn + 1} of {rounds}")
                visits.append(
                    await _first_visit(browser, f"http://{lab.stack.endpoint('gateway')}")
                )
        finally:
            await browser.close()
    return _findings(visits)


async def _first_visit(browser: Browser, url: str) -> Visit:
    # PHONE is a dict[str, int], and playwright wants its own TypedDict.
    context = await browser.new_context(viewport=PHONE)  # type: ignore[arg-type]
    try:
        page = await context.new_page()
        await page.add_init_script(_WATCH)
        visit = Visit()
        await _slow_down(page, visit)
        await page.goto(url)
        page.set_default_timeout(SETTLED_SECONDS * 1000)
        await page.locator(".product-card").first.wait_for()
        await page.locator("main [aria-busy=true]").first.wait_for(state="detached")
        await page.wait_for_load_state("networkidle")
        seen = await page.evaluate("seen")
        visit.seconds, visit.shift = seen["product"] / 1000, seen["shift"]
        return visit
    finally:
        await context.close()


async def _slow_down(page: Page, visit: Visit) -> None:
    network = await page.context.new_cdp_session(page)
    network.on("Network.requestWillBeSent", visit.asked)
    network.on("Network.loadingFinished", visit.loaded)
    await network.send("Network.enable")
    line = {"latency": LATENCY_MS, "offline": False}
    speed = dict.fromkeys(("downloadThroughput", "uploadThroughput"), LINE_BYTES_A_SECOND)
    await network.send("Network.emulateNetworkConditions", line | speed)


def _findings(visits: Sequence[Visit]) -> list[Finding]:
    seconds = [each.seconds for each in visits]
    requests = max(len(each.bytes_of) for each in visits)
    total = max(sum(each.bytes_of.values()) for each in visits)
    shift = max(each.shift for each in visits)
    median = statistics.median(seconds)
    spread = f"{min(seconds):.1f} to {max(seconds):.1f} s"
    figures = [
        ("first product on a slow line", f"{median:.1f} s", spread, median, FIRST_SECONDS_MAX, "s"),
        ("requests without pictures", f"{requests}", "", requests, REQUESTS_MAX, ""),
        ("KiB without pictures", f"{total / 1024:.0f}", "", total / 1024, BYTES_MAX / 1024, "KiB"),
        ("layout shift", f"{shift:.3f}", "", shift, SHIFT_MAX, ""),
    ]
    return [
        Finding("shop", name, measured, ratio, f"<= {goal:g} {unit}".strip(), is_met=value <= goal)
        for name, measured, ratio, value, goal, unit in figures
    ]
