"""A person at Debian's Chromium, for whom a page must not only answer but work: see Visitor.check."""

import os
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request, expect

CHROMIUM = "/usr/bin/chromium"
WIDTHS = (1024, 390, 1920)
WIDTH, HEIGHT = 1440, 900
PICTURES = os.environ.get("NMS_SCREENSHOTS", "")  # the folder for them; `make screenshots` sets it


expect.set_options(timeout=30_000)  # milliseconds; other tests keep the machine busy


class Visitor:
    """One window of one person. What a page logs as an error, and what it asks of other hosts, is kept in
    `wrongs` with the page's address.
    """

    def __init__(self, context: BrowserContext, base_url: str) -> None:
        self.base_url = base_url
        self.wrongs: list[str] = []
        self.page: Page = context.new_page()
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self._wrong(f"script error: {error}"))
        self.page.on("request", self._request)

    def login(self, user: str, password: str) -> None:
        self.page.goto(f"{self.base_url}/admin/")
        self.page.fill("#id_username", user)
        self.page.fill("#id_password", password)
        self.page.click("button[type=submit]")

    def goto(self, path: str) -> Page:
        self.page.goto(f"{self.base_url}{path}")
        return self.page

    def check(self, *, asked_wrongly: int = 0) -> None:
        """The page as it is now: no serious finding of axe-core, nothing wider than the window, no error in
        its console but those of requests that were meant to be refused, and no request to another host.
        """
        self._settle()
        for width in WIDTHS:
            self.page.set_viewport_size({"width": width, "height": HEIGHT})
            over = self.page.evaluate(
                "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
            assert over <= 0, f"{self.page.url} is {over} pixels wider than {width}"
        self.page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
        found = Axe().run(self.page)
        serious = [
            f"{violation['id']}: {[node['html'][:200] for node in violation['nodes'][:3]]}"
            for violation in found.response["violations"]
            if violation["impact"] in ("serious", "critical")
        ]
        assert not serious, f"{self.page.url}: {serious}"
        assert len(self.wrongs) == asked_wrongly, self.wrongs
        assert all("400 (Bad Request)" in wrong for wrong in self.wrongs), self.wrongs
        self.wrongs.clear()

    def picture(self, name: str, *, width: int = WIDTH, height: int = HEIGHT) -> None:
        """For the tour in the docs, when pictures are asked for."""
        if not PICTURES:
            return
        self._settle()
        self.page.set_viewport_size({"width": width, "height": height})
        self.page.wait_for_timeout(500)  # the theme's transitions
        self.page.screenshot(path=Path(PICTURES) / f"{name}.png")
        self.page.set_viewport_size({"width": WIDTH, "height": HEIGHT})

    def _settle(self) -> None:
        """Until all is loaded and drawn; not until no request is made, as pages refresh themselves."""
        self.page.wait_for_load_state("load")
        expect(self.page.locator("[aria-busy=true]")).to_have_count(0)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self._wrong(message.text)

    def _request(self, request: Request) -> None:
        if not request.url.startswith((f"{self.base_url}/", "data:", "blob:")):
            self._wrong(f"asks {request.url}")

    def _wrong(self, what: Any) -> None:
        self.wrongs.append(f"{self.page.url}: {what}")
