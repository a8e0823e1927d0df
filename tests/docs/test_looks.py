"""The site in a browser: legible in the light and in the dark, on a phone, and by keyboard."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import sampling
from browser.conftest import PATIENCE

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.timeout(900)

FAINT = Path(__file__).parents[1].joinpath("browser", "faint.js").read_text(encoding="utf-8")
PAGES = ("", "gallery", "learn/gradients", "learn/map", "results", "limits", "cells", "quickstart")
LOOKS = [(page, width, look) for page in PAGES for width, look in ((390, "light"), (1280, "dark"))]


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        """Says nothing of a request."""


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    with ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(site))
    ) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def visited(browser: Browser, width: int, look: str) -> tuple[Page, list[str]]:
    """A tab, and what it complains of."""
    context = browser.new_context(
        viewport={"width": width, "height": 844}, color_scheme="dark" if look == "dark" else "light"
    )
    context.set_default_timeout(PATIENCE * 1000)
    page, complaints = context.new_page(), []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: said.type == "error" and complaints.append(said.text))
    return page, complaints


@pytest.mark.parametrize(("name", "width", "look"), sampling.cases(LOOKS, 2))
def test_a_page_fits_and_is_legible(
    browser: Browser, address: str, name: str, width: int, look: str
) -> None:
    page, complaints = visited(browser, width, look)
    page.goto(f"{address}/{name}")
    wide, seen = page.evaluate(
        "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    assert wide == seen
    assert page.evaluate(f"({FAINT})()") == []
    assert complaints == []
    page.context.close()


def test_the_site_is_used_by_keyboard(browser: Browser, address: str) -> None:
    """The content is one Tab and Enter away; search is opened, asked and followed by keys."""
    page, complaints = visited(browser, 1280, "light")
    page.goto(f"{address}/learn/gradients/")
    # Before its index is there, search takes no keys.
    page.wait_for_selector("text=Type to start searching", state="attached")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent").strip() == "Skip to content"
    page.keyboard.press("Enter")
    page.wait_for_url("**/learn/gradients/#*")
    page.wait_for_timeout(500)  # the theme closes the search some milliseconds after such a jump
    page.keyboard.press("/")
    page.keyboard.type("teacher forcing")
    page.wait_for_selector(".md-search-result__link")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url("**/learn/concepts/**")
    assert complaints == []
    page.context.close()
