"""The page in a browser: what it shows, and how one gets around in it."""

import numpy as np
import pytest

from .opened import as_pixels, make_documents, make_page
from .questions import BACKGROUND, BASE, CATS, TEXTS, TUNED


def test_heading_and_axes(five):
    assert five.page.title() == "Five questions"
    assert five.page.inner_text("#title") == "Five questions"
    assert five.page.inner_text("#subtitle") == "5 documents · 3 labels"
    assert five.page.inner_text("#x-axis") == "PC1 (12 %)"
    assert five.page.inner_text("#y-axis") == "PC2 (7 %)"


def test_hovering_shows_text_labels_and_id(five):
    places = five.pixels(BASE)
    assert [five.shown_text(place) for place in places] == TEXTS
    lines = five.hover(places[1]).split()
    assert lines == f"{TEXTS[1]} Label B Predicted B 50 % Id doc-1".split()
    assert "unknown" in five.hover(places[4])
    assert five.hover(places[0] + [40, 40]) is None
    # Off the point, but near it.
    assert five.shown_text(places[2] + [-6, 6]) == TEXTS[2]


def test_of_many_points_the_nearest_is_shown(open_page):
    rng = np.random.default_rng(0)
    xy = rng.normal(size=(1500, 2))
    documents = make_documents([f"text {i}" for i in range(1500)], [{}] * 1500)
    opened = open_page(make_page(documents, xy))
    places = opened.pixels(xy)
    asked = np.rint(places[rng.integers(0, 1500, 60)] + rng.uniform(-25, 25, (60, 2)))
    distances = np.linalg.norm(places[None] - asked[:, None], axis=2)
    nearest, next_nearest = np.sort(distances, axis=1)[:, :2].T
    sure = (next_nearest - nearest > 0.5) & (np.abs(nearest - 14) > 0.5)
    expected = [
        f"text {i}" if distance <= 14 else None
        for i, distance in zip(distances.argmin(axis=1), nearest, strict=True)
    ]
    shown = [opened.shown_text(place) for place in asked]
    assert [s for s, is_sure in zip(shown, sure, strict=True) if is_sure] == [
        e for e, is_sure in zip(expected, sure, strict=True) if is_sure
    ]
    assert sure.sum() > 40
    assert None in expected


def test_the_tip_stays_inside_the_plot(five):
    box = five.page.locator(".stage").bounding_box()
    for place in five.pixels(BASE):
        assert five.hover(place) is not None
        tip = five.page.locator("#tip").bounding_box()
        assert tip["x"] >= box["x"]
        assert tip["y"] >= box["y"]
        assert tip["x"] + tip["width"] <= box["x"] + box["width"]
        assert tip["y"] + tip["height"] <= box["y"] + box["height"]


def test_switching_moves_the_points(five):
    five.page.check("input[value=tuned]")
    assert [five.shown_text(place) for place in five.pixels(TUNED)] == TEXTS
    assert five.page.inner_text("#x-axis") == "PC1 (40 %)"
    assert five.page.inner_text("#y-axis") == "PC2 (21 %)"
    assert five.colour(five.pixels(BASE)[4]) == BACKGROUND
    five.page.check("input[value=base]")
    assert [five.shown_text(place) for place in five.pixels(BASE)] == TEXTS
    assert five.page.inner_text("#x-axis") == "PC1 (12 %)"


# Where the first point is in each frame of the second after a switch, found by its colour.
FOLLOW = """async (canvas) => {
    const context = canvas.getContext("2d");
    const middle = () => {
        const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
        let [n, x, y] = [0, 0, 0];
        for (let at = 0; at < data.length; at += 4) {
            if (data[at + 2] - data[at] > 100) {
                n += 1;
                x += (at / 4) % canvas.width;
                y += Math.floor(at / 4 / canvas.width);
            }
        }
        return [x / n, y / n];
    };
    const seen = [middle()];
    document.querySelector("input[value=tuned]").click();
    const start = performance.now();
    while (performance.now() < start + 1000) {
        await new Promise(requestAnimationFrame);
        seen.push(middle());
    }
    return seen;
}"""


@pytest.mark.parametrize("motion", ["no-preference", "reduce"])
def test_points_travel_unless_motion_is_to_be_reduced(open_page, motion):
    cats = [{"A": 1.0}, {}, {}]
    documents = make_documents(["a", "b", "c"], cats, labels=["A"], exclusive=False)
    base, tuned = [(1, 1), (0, 0), (4, 3)], [(3, 2), (0, 0), (4, 3)]
    opened = open_page(make_page(documents, base, tuned), reduced_motion=motion)
    opened.settle()
    seen = np.array(opened.canvas.evaluate(FOLLOW))
    box = opened.canvas.bounding_box()
    start, end = (as_pixels(xy, box["width"], box["height"])[0] for xy in (base, tuned))
    assert seen[0] == pytest.approx(start, abs=1.5)
    assert seen[-1] == pytest.approx(end, abs=1.5)
    share = (seen - start) @ (end - start) / np.sum((end - start) ** 2)
    between = share[(share > 0.02) & (share < 0.98)]
    if motion == "reduce":
        assert between.size == 0
    else:
        assert len(np.unique(between)) > 5
        assert between.min() < 0.4
        assert between.max() > 0.6
        assert (np.diff(share) > -0.01).all()


def test_the_legend_counts_and_hides(five):
    names = five.page.locator("#legend .name").all_text_contents()
    counts = five.page.locator("#legend .n").all_text_contents()
    assert dict(zip(names, counts, strict=True)) == {"A": "1", "B": "1", "C": "1", "unknown": "2"}
    places = five.pixels(BASE)
    toggle = five.entry("B").locator(".entry")
    toggle.click()
    assert toggle.get_attribute("aria-pressed") == "false"
    assert five.colour(places[1]) == BACKGROUND
    assert five.hover(places[1]) is None
    assert five.shown_text(places[0]) == TEXTS[0]
    # What is hidden is not selected.
    five.lasso(five.around(places))
    assert five.listed() == ["doc-0", "doc-2", "doc-3", "doc-4"]
    toggle.click()
    assert toggle.get_attribute("aria-pressed") == "true"
    assert five.shown_text(places[1]) == TEXTS[1]


def test_one_label_can_be_shown_alone(five):
    places = five.pixels(BASE)
    five.entry("unknown").hover()
    five.entry("unknown").locator(".only").click()
    shown = [five.shown_text(place) for place in places]
    assert shown == [None, None, None, TEXTS[3], TEXTS[4]]
    five.page.click("#show-all")
    assert [five.shown_text(place) for place in places] == TEXTS
    assert not five.page.is_visible("#show-all")


def test_searching_counts_marks_and_selects(five):
    places = five.pixels(BASE)
    plain = five.colour(places[0])
    five.page.fill("#query", "WHAT IS")
    assert five.page.inner_text("#found") == "1 found"
    faint = five.colour(places[0])
    assert sum(faint) > sum(plain) + 60
    assert five.colour(places[2]) != faint
    rings = [five.colour(places[2] - [0, by]) for by in range(4, 9)]
    assert min(map(sum, rings)) < 150
    five.page.fill("#query", "whe")
    assert five.page.inner_text("#found") == "2 found"
    five.entry("B").locator(".entry").click()
    assert five.page.inner_text("#found") == "2 found, 1 hidden"
    five.page.click("#select-found")
    assert five.listed() == ["doc-3"]
    five.page.fill("#query", "nothing of the kind")
    assert five.page.inner_text("#found") == "0 found"
    assert not five.page.is_visible("#select-found")
    five.page.press("#query", "Escape")
    assert five.page.input_value("#query") == ""
    assert five.page.inner_text("#found") == ""


def test_zooming_keeps_what_is_under_the_pointer_there(five):
    place = five.pixels(BASE)[2]
    five.page.mouse.move(*place)
    for _ in range(4):
        five.page.mouse.wheel(0, -200)
    five.settle()
    assert five.shown_text(place) == TEXTS[2]
    assert five.hover(five.pixels(BASE)[4]) is None
    five.page.click("#fit")
    assert [five.shown_text(place) for place in five.pixels(BASE)] == TEXTS
    # By the buttons, from the middle.
    box = five.canvas.bounding_box()
    middle = np.array([box["x"] + box["width"] / 2, box["y"] + box["height"] / 2])
    five.page.click("#zoom-out")
    outside = middle + (five.pixels(BASE) - middle) / 1.4
    assert [five.shown_text(place) for place in outside] == TEXTS
    five.page.click("#zoom-in")
    assert [five.shown_text(place) for place in five.pixels(BASE)] == TEXTS


@pytest.mark.parametrize("how", ["mode", "shift", "middle"])
def test_dragging_moves_the_plot(five, how):
    if how == "mode":
        five.page.check("input[value=move]")
    if how == "shift":
        five.page.keyboard.down("Shift")
    places = five.pixels(BASE)
    five.page.mouse.move(*(places[4] + [0, 60]))
    five.page.mouse.down(button="middle" if how == "middle" else "left")
    five.page.mouse.move(*(places[4] + [-80, 90]), steps=5)
    five.page.mouse.up(button="middle" if how == "middle" else "left")
    five.page.keyboard.up("Shift")
    assert five.shown_text(places[4] + [-80, 30]) == TEXTS[4]
    assert five.listed() == []


def test_all_can_be_done_by_keys(five):
    page = five.page
    page.focus("#plot")
    page.keyboard.press("ArrowRight")  # from nowhere: the one in the middle
    assert page.text_content("#tip-text") == TEXTS[4]
    assert page.text_content("#said") == f"{TEXTS[4]} \u2013 unknown"
    page.keyboard.press("ArrowRight")
    assert page.text_content("#tip-text") == TEXTS[1]
    page.keyboard.press("ArrowUp")
    assert page.text_content("#tip-text") == TEXTS[2]
    page.keyboard.press("Enter")
    assert five.listed() == ["doc-2"]
    assert page.text_content("#said") == "1 text selected"
    page.keyboard.press("Enter")
    assert five.listed() == []
    page.keyboard.press("t")
    assert page.is_checked("input[value=tuned]")
    page.keyboard.press("b")
    assert page.is_checked("input[value=base]")
    page.keyboard.press("Shift+ArrowRight")
    assert five.shown_text(five.pixels(BASE)[4] - [60, 0]) == TEXTS[4]
    page.keyboard.press("0")
    page.keyboard.press("+")
    assert five.hover(five.pixels(BASE)[0]) is None
    page.keyboard.press("0")
    page.keyboard.press("m")
    assert page.is_checked("input[value=move]")
    page.keyboard.press("s")
    page.keyboard.press("/")
    page.keyboard.type("perth")
    assert page.inner_text("#found") == "1 found"
    page.keyboard.press("Escape")
    page.focus("#plot")
    page.keyboard.press("?")
    assert page.is_visible("#help")
    page.keyboard.press("Escape")
    assert not page.is_visible("#help")


def test_points_at_one_place_are_all_reached_by_keys(open_page):
    places = [(0, 0), (1, 0), (1, 0), (1, 0), (2, 0)]
    opened = open_page(make_page(make_documents(TEXTS, CATS), places))
    opened.page.focus("#plot")
    seen = []
    for key in ["ArrowRight"] * 4:
        opened.page.keyboard.press(key)
        seen.append(opened.page.text_content("#tip-text"))
    assert seen == [TEXTS[1], TEXTS[2], TEXTS[3], TEXTS[4]]


def test_everything_that_can_be_used_has_a_name(five):
    five.lasso(five.around(five.pixels(BASE)))
    controls = five.page.locator("button, input, select, canvas, dialog, ol")
    for control in controls.all():
        name = control.evaluate(
            """(e) => e.getAttribute("aria-label") || e.labels?.[0]?.textContent.trim()
                || document.getElementById(e.getAttribute("aria-labelledby"))?.textContent
                || e.textContent.trim()"""
        )
        assert name, control.evaluate("(e) => e.outerHTML")
    ids = five.page.eval_on_selector_all("[id]", "(all) => all.map((e) => e.id)")
    assert len(ids) == len(set(ids))


def test_another_size_of_the_window_fits_the_points_anew(five):
    five.page.set_viewport_size({"width": 1000, "height": 600})
    five.settle()
    assert [five.shown_text(place) for place in five.pixels(BASE)] == TEXTS


def test_one_document_alone_stands_in_the_middle(open_page):
    opened = open_page(make_page(make_documents(["Alone"], [{"A": 1.0}]), [5, 5]))
    assert opened.shown_text(opened.pixels([(5, 5)])[0]) == "Alone"
