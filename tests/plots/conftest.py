"""Pages in a browser; each test ends with a look at what they did besides what they should."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from .browser import launched
from .opened import Opened, make_documents, make_page
from .questions import BASE, CATS, PROBABILITIES, TEXTS, TUNED


# Of the package, not of the session: as long as Playwright runs, nobody else can use asyncio.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with launched() as browser:
        yield browser


@pytest.fixture
def open_page(browser: Browser, tmp_path: Path) -> Iterator[Callable[..., Opened]]:
    """Writes a page to a file and opens it without a network."""
    opened: list[Opened] = []

    def open_html(html: str, **context: Any) -> Opened:
        path = tmp_path / f"page{len(opened)}.html"
        path.write_text(html, encoding="utf-8")
        opened.append(Opened(browser, path, **context))
        return opened[-1]

    yield open_html
    for page in opened:
        page.close()
        page.assert_quiet()


@pytest.fixture
def five(open_page: Callable[..., Opened]) -> Opened:
    """The page of five questions."""
    documents = make_documents(
        TEXTS, CATS, probabilities=PROBABILITIES, predicted_labels=["A", "B", "C"]
    )
    return open_page(make_page(documents, BASE, TUNED, title="Five questions"))
