"""Many documents, and small screens."""

import time

import numpy as np
import pytest

from .opened import make_documents, make_page

N = 20_000


@pytest.fixture(scope="module")
def many():
    rng = np.random.default_rng(0)
    group = rng.integers(0, 14, N)
    centres = rng.normal(size=(14, 2))
    base = centres[group] * 0.5 + rng.normal(size=(N, 2))
    tuned = centres[group] * 2 + 0.5 * rng.normal(size=(N, 2))
    labels = [f"label {j}" for j in range(14)]
    documents = make_documents(
        [f"The text of document {i}, as long as news are. " * 5 for i in range(N)],
        [{labels[j]: 1.0} for j in group],
        labels=labels,
        predicted_labels=labels,
        probabilities=rng.dirichlet(np.ones(14) / 10, N),
    )
    return base, tuned, make_page(documents, base, tuned)


# How many pixels of the plot are not of its background.
DRAWN = """() => {
    const canvas = document.getElementById("plot");
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    let n = 0;
    for (let at = 0; at < data.length; at += 4) {
        n += data[at] !== 255 || data[at + 1] !== 255 || data[at + 2] !== 255;
    }
    return n;
}"""
# The time between frames while the points travel.
FRAMES = """async () => {
    document.querySelector("input[value=tuned]").click();
    const times = [];
    const start = performance.now();
    let last = start;
    while (last < start + 600) {
        await new Promise(requestAnimationFrame);
        times.push(performance.now() - last);
        last = performance.now();
    }
    return times;
}"""


def test_20_000_documents_are_drawn_at_once_and_stay_fluid(open_page, many):
    base, tuned, html = many
    start = time.perf_counter()
    opened = open_page(html, reduced_motion="no-preference")
    opened.settle()
    assert opened.page.evaluate(DRAWN) > 50_000
    assert time.perf_counter() - start < 3
    places = opened.pixels(base)
    # One that stands apart, as others may be nearer than the right one by a rounding.
    apart = np.argmax(places[:, 0])
    assert opened.shown_text(places[apart]).startswith(f"The text of document {apart},")
    times = opened.page.evaluate(FRAMES)
    assert np.median(times) < 60  # of a browser without a graphics card; 17 where nobody else works
    opened.page.wait_for_timeout(300)
    places = opened.pixels(tuned)
    apart = np.argmax(places[:, 0])
    assert opened.shown_text(places[apart]).startswith(f"The text of document {apart},")
    opened.page.fill("#query", "document 1999")
    assert opened.page.inner_text("#found") == "11 found"
    opened.page.fill("#query", "")
    opened.lasso(opened.around(places, by=15))
    assert opened.page.inner_text("#count") == "20,000 texts selected"
    assert len(opened.listed()) == 100
    opened.page.click("#more")
    assert len(opened.listed()) == 200
    assert opened.download().count(b"\n") == N


def test_a_phone_shows_all_of_it_one_below_the_other(open_page):
    labels = [f"a label with a long name {i}" for i in range(12)]
    xy = [(i % 4, i // 4) for i in range(12)]
    cats = [{label: 1.0} for label in labels]
    documents = make_documents([f"Text {i}. " * 40 for i in range(12)], cats, labels=labels)
    opened = open_page(
        make_page(documents, xy, title="A rather long title of what is to be seen here"),
        viewport={"width": 390, "height": 844},
        device_scale_factor=3,
        has_touch=True,
        is_mobile=True,
    )
    page = opened.page
    places = opened.pixels(xy)
    page.touchscreen.tap(*places[5])
    assert page.text_content("#tip-text").startswith("Text 5.")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    box = opened.canvas.bounding_box()
    assert box["width"] > 320
    assert box["height"] > 350
    assert box["y"] + box["height"] < 844  # the plot is seen without scrolling
    tip = page.locator("#tip").bounding_box()
    assert tip["x"] >= 0
    assert tip["x"] + tip["width"] <= 390
    for control in page.locator("button:visible, select:visible, input:visible").all():
        size = control.bounding_box()
        small = control.evaluate("(e) => e.matches('#list button')")
        assert small or min(size["width"], size["height"]) >= 30, control.evaluate(
            "e => e.outerHTML"
        )
        assert size["x"] >= 0
        assert size["x"] + size["width"] <= 390


@pytest.mark.parametrize("width", [761, 900, 2560])
def test_nothing_is_cut_off_at_any_width(open_page, width):
    cats = [{"A": 1.0}] * 3
    documents = make_documents(["a", "b", "c" * 400], cats)
    opened = open_page(
        make_page(documents, [(0, 0), (1, 1), (2, 1)], title="t" * 200),
        viewport={"width": width, "height": 700},
    )
    opened.lasso(opened.around(opened.pixels([(0, 0), (1, 1), (2, 1)])))
    assert len(opened.listed()) == 3
    sizes = opened.page.evaluate(
        "[document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
    )
    assert sizes == [width, 700]


def test_a_label_is_seen_among_more_points_than_are_drawn(open_page):
    n = 20_500
    base = np.zeros((n, 2))
    base[:3] = [[-1, -1], [1, 1], [1, -1]]
    cats = [{} for _ in range(n)]
    # In random order, most points come behind it, and would take its room.
    cats[0] = cats[7] = {"A": 1.0}
    documents = make_documents([f"text {i}" for i in range(n)], cats, labels=["A"])
    opened = open_page(make_page(documents, base, base))
    opened.settle()
    places = opened.pixels(base)
    crowd, other, own = (opened.colour(places[i]) for i in (9, 1, 0))
    assert own != other
    # Points are slightly transparent, so what is below counts a little.
    assert np.abs(np.subtract(crowd, own)).max() < 20
    # All of them can be chosen, also those that are not drawn.
    opened.lasso(opened.around(places, by=15))
    assert opened.page.inner_text("#count") == "20,500 texts selected"
