"""A real browser for the tests of pages, found on this machine."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def find_chromium(own: Path | None = None) -> Path:
    """Find Chromium: where EMBTUNE_CHROMIUM says, by its usual names, or Playwright's own.

    own (Path | None): Where Playwright would have put one.
    RETURNS (Path): The program. Without one the test fails: a page that nobody has opened is not
        tested.
    """
    given = os.environ.get("EMBTUNE_CHROMIUM")
    if given:
        found = shutil.which(given)
        if found is None:
            pytest.fail(f"EMBTUNE_CHROMIUM is {given!r}, but there is no such program.")
        return Path(found)
    for name in NAMES:
        found = shutil.which(name)
        if found is not None:
            return Path(found)
    if own is not None and own.is_file():
        return own
    pytest.fail(
        "The tests of the page need Chromium, and there is none here. Install it (Debian, Ubuntu: "
        "apt-get install chromium; elsewhere: python -m playwright install chromium), or set "
        "EMBTUNE_CHROMIUM to the path of a Chromium or Chrome."
    )


@contextmanager
def launched() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        program = find_chromium(Path(playwright.chromium.executable_path))
        browser = playwright.chromium.launch(executable_path=program, args=list(ARGS))
        yield browser
        browser.close()
