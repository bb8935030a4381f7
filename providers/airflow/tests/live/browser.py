"""
A headless Chromium, logged in to Airflow, and what the tab shows in it. Playwright for Python and the system's Chromium: the
tests stay in one language, and no browser is fetched beside the registry.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, Protocol

from livetests.programs import need
from playwright.sync_api import Browser, ConsoleMessage, FrameLocator, Page, expect, sync_playwright

from .client import Api, Task


class Site(Protocol):
    """An Airflow that runs."""

    @property
    def url(self) -> str: ...

    def api(self, user: str = ...) -> Api: ...


Theme = Literal["light", "dark"]
#: Milliseconds that anything here may take; a busy machine makes a page slow, not wrong.
PATIENCE = 60_000
expect.set_options(timeout=PATIENCE)
#: Airflow's session, where the page finds it.
SESSION = "_token"


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # Root has no sandbox to go to, and the pages are ours.
        browser = playwright.chromium.launch(executable_path=need("chromium"), args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def session(browser: Browser, airflow: Site, user: str = "admin", theme: Theme = "light") -> Iterator[Page]:
    """A page in that user's session."""
    context = browser.new_context(viewport={"width": 1440, "height": 1500}, color_scheme=theme, locale="en-US")
    try:
        with airflow.api(user) as api:
            context.add_cookies([{"name": SESSION, "value": api.token, "url": airflow.url}])
        # Airflow keeps its theme here.
        context.add_init_script(f"localStorage.setItem('theme', '{theme}')")
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        yield page
    finally:
        context.close()


def listen(page: Page) -> list[str]:
    """Errors of the console and scripts that threw, as they come: a policy that is broken is among them."""
    heard: list[str] = []

    def said(message: ConsoleMessage) -> None:
        if message.type == "error":
            heard.append(f"{message.location.get('url', '')}: {message.text}")

    page.on("console", said)
    page.on("pageerror", lambda error: heard.append(str(error)))
    return heard


def open_tab(page: Page, airflow: Site, task: Task) -> FrameLocator:
    """The tab of a task instance, as somebody finds it who clicks on it."""
    page.goto(airflow.url + task.page)
    page.get_by_role("tab", name="Oxide Flow").or_(page.get_by_role("link", name="Oxide Flow")).first.click()
    return page.frame_locator("iframe[title='Oxide Flow']")


def look_again(tab: FrameLocator) -> None:
    """As somebody does who comes back to the page: it asks at once, and not after its pause."""
    tab.locator("body").evaluate("() => document.dispatchEvent(new Event('visibilitychange'))")


def figure(tab: FrameLocator, name: str) -> str:
    """What a card of the tab says: `rows_read` and others."""
    return tab.locator(f"[data-field='{name}'] dd").first.inner_text()


def number(tab: FrameLocator, name: str) -> int:
    return int(figure(tab, name).replace(",", ""))
