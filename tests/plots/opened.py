"""A page that is open in a browser, and documents to show in it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Browser, Locator

from spacy_embtune.labels import make_targets
from spacy_embtune.plots import page
from spacy_embtune.reports.types import Documents

MARGIN = 28  # what the page leaves between the outermost points and the edges
AXES = {"base_axes": ("PC1 (12 %)", "PC2 (7 %)"), "tuned_axes": ("PC1 (40 %)", "PC2 (21 %)")}


def make_documents(
    texts: Sequence[str],
    cats: Sequence[dict[str, float]],
    *,
    labels: Sequence[str] = ("A", "B", "C"),
    exclusive: bool = True,
    ids: Sequence[str] | None = None,
    probabilities: Any = None,
    predicted_labels: Sequence[str] = (),
) -> Documents:
    n = len(texts)
    return Documents(
        list(ids) if ids is not None else [f"doc-{i}" for i in range(n)],
        list(texts),
        list(labels),
        make_targets(cats, labels, exclusive=exclusive),
        np.zeros((n, 3), dtype="float32"),
        np.zeros((n, 2), dtype="float32"),
        np.zeros((n, 0)) if probabilities is None else np.asarray(probabilities, dtype="float32"),
        list(predicted_labels),
    )


def make_page(documents: Documents, base: Any, tuned: Any = None, *, title: str = "A title") -> str:
    xy = np.asarray(base, dtype="float64").reshape(-1, 2)
    other = xy if tuned is None else np.asarray(tuned, dtype="float64").reshape(-1, 2)
    return page(documents, xy, other, title=title, **AXES)


def as_pixels(xy: Any, width: float, height: float) -> np.ndarray:
    """RETURNS (ndarray): Where points are to stand: as large as fits inside the margins, centred,
    y upwards, and both axes at the same scale."""
    xy = np.asarray(xy, dtype="float64")
    low, high = xy.min(axis=0), xy.max(axis=0)
    room = np.array([width, height]) - 2 * MARGIN
    with np.errstate(divide="ignore"):
        scale = np.min(room / (high - low))
    centred = (xy - (low + high) / 2) * (scale if np.isfinite(scale) else 1.0)
    return np.array([width, height]) / 2 + centred * [1, -1]


class Opened:
    """One page in a context of its own, and what it did."""

    def __init__(self, browser: Browser, path: Path, **context: Any) -> None:
        # A viewport that is the same everywhere, and points that stand still unless asked to move.
        defaults = {
            "viewport": {"width": 1200, "height": 800},
            "reduced_motion": "reduce",
            "color_scheme": "light",
        }
        self.context = browser.new_context(offline=True, **{**defaults, **context})
        self.page = self.context.new_page()
        self.page.set_default_timeout(5_000)
        self.address = path.as_uri()
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("popup", lambda popup: self.complaints.append(f"opened {popup.url}"))
        self.page.on("dialog", self._dismiss)
        self.page.goto(self.address)
        self.canvas = self.page.locator("#plot")

    def _dismiss(self, dialog: Any) -> None:
        self.complaints.append(f"dialog {dialog.message}")
        dialog.dismiss()

    def close(self) -> None:
        self.pwned = self.page.evaluate("window.pwned")
        self.context.close()

    def assert_quiet(self) -> None:
        # A download is read from memory, by an address that the page has made for it.
        assert [url for url in self.requests if not url.startswith("blob:")] == [self.address]
        assert self.complaints == []
        assert self.pwned is None

    # -- Where things are

    def pixels(self, xy: Any) -> np.ndarray:
        """RETURNS (ndarray): Where points stand in the window, shape (n, 2)."""
        box = self.canvas.bounding_box()
        inside = as_pixels(xy, box["width"], box["height"])
        return inside + np.array([box["x"], box["y"]])

    def colour(self, place: Sequence[float]) -> tuple[int, int, int]:
        """RETURNS (tuple): Red, green and blue of the plot at a place in the window, 0..255."""
        self.settle()
        script = """(canvas, [x, y]) => {
            const box = canvas.getBoundingClientRect();
            const ratio = canvas.width / box.width;
            const at = [(x - box.left) * ratio, (y - box.top) * ratio].map(Math.floor);
            return [...canvas.getContext("2d").getImageData(...at, 1, 1).data];
        }"""
        red, green, blue, alpha = self.canvas.evaluate(script, [float(v) for v in place])
        assert alpha == 255
        return red, green, blue

    # -- What is done

    def settle(self) -> None:
        """Wait until what was asked for is drawn."""
        self.page.evaluate(
            "() => new Promise((done) =>"
            " requestAnimationFrame(() => requestAnimationFrame(() => done())))"
        )

    def hover(self, place: Sequence[float]) -> str | None:
        """RETURNS (str | None): What the page shows of the point at a place in the window."""
        self.page.mouse.move(*place)
        return self.page.inner_text("#tip") if self.page.is_visible("#tip") else None

    def shown_text(self, place: Sequence[float]) -> str | None:
        """RETURNS (str | None): The text that the page shows of the point there."""
        shown = self.hover(place)
        return None if shown is None else self.page.text_content("#tip-text")

    def lasso(self, path: Any, *, release: bool = True) -> None:
        first, *rest = [(float(x), float(y)) for x, y in path]
        self.page.mouse.move(*first)
        self.page.mouse.down()
        for place in rest:
            self.page.mouse.move(*place, steps=3)
        if release:
            self.page.mouse.up()

    def around(self, places: Any, by: float = 12) -> np.ndarray:
        """RETURNS (ndarray): The corners of a box around places in the window."""
        places = np.asarray(places, dtype="float64").reshape(-1, 2)
        (left, top), (right, bottom) = places.min(axis=0) - by, places.max(axis=0) + by
        return np.array([[left, top], [right, top], [right, bottom], [left, bottom]])

    def listed(self) -> list[str]:
        """RETURNS (list[str]): The ids of the documents in the list of those selected."""
        return self.page.locator("#list .id").all_text_contents()

    def download(self) -> bytes:
        with self.page.expect_download() as event:
            self.page.click("#download")
        assert event.value.suggested_filename == "selected.jsonl"
        return Path(event.value.path()).read_bytes()

    def records(self) -> list[dict[str, Any]]:
        lines = self.download().decode("utf-8")
        assert lines.endswith("\n")
        return [json.loads(line) for line in lines.splitlines()]

    def entry(self, name: str) -> Locator:
        """RETURNS (Locator): The entry of the legend of that name."""
        return self.page.locator("#legend li", has=self.page.get_by_text(name, exact=True))
