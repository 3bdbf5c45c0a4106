"""What the page looks like: colours, shapes, the legend, and the pixels of the screen."""

import numpy as np
import pytest

from spacy_embtune.plots.colors import PALETTE

from .opened import make_documents, make_page
from .questions import BACKGROUND, BASE, CATS, DARK, TEXTS


def test_points_have_the_colours_of_their_labels(five):
    colours = [five.colour(place) for place in five.pixels(BASE)]
    assert len(set(colours)) == 4  # A, B, C; the last two are unknown
    assert colours[3] == colours[4]
    red, green, blue = colours[3]
    assert max(red, green, blue) - min(red, green, blue) < 25  # grey
    assert BACKGROUND not in colours
    # The same as in the legend, where points are not a little transparent.
    for name, colour in zip("ABC", colours[:3], strict=True):
        fill = five.entry(name).locator("path").get_attribute("fill")
        given = [int(fill[at : at + 2], 16) for at in (1, 3, 5)]
        assert np.abs(np.subtract(given, colour)).max() < 40


def test_colours_by_prediction_and_by_the_value_of_one_label(five):
    places = five.pixels(BASE)
    five.page.select_option("#colouring", label="Predicted label")
    names = five.page.locator("#legend .name").all_text_contents()
    counts = five.page.locator("#legend .n").all_text_contents()
    assert dict(zip(names, counts, strict=True)) == {"A": "2", "B": "2", "C": "1"}
    assert five.colour(places[0]) == five.colour(places[2])
    assert five.colour(places[1]) == five.colour(places[4]) != five.colour(places[0])
    five.page.select_option("#colouring", label="A, probability")
    light = [sum(five.colour(place)) for place in places]
    assert light[0] < light[2] < light[1] < light[3] < light[4]
    five.page.select_option("#colouring", label="A, given")
    assert five.page.inner_text("#legend .unknown") == "unknown 1"
    colours = [five.colour(place) for place in places]
    assert colours[1] == colours[2] == colours[3] != colours[4]
    assert sum(colours[0]) < sum(colours[1])


def test_several_labels_none_and_unknown_are_told_apart(open_page):
    cats = [{"A": 0.0, "B": 1.0, "C": 1.0}, {"A": 0.0, "B": 0.0, "C": 0.0}, {"A": 0.0}, {}]
    documents = make_documents(["a", "b", "c", "d"], cats, exclusive=False)
    opened = open_page(make_page(documents, BASE[:4]))
    names = opened.page.locator("#legend .name").all_text_contents()
    counts = opened.page.locator("#legend .n").all_text_contents()
    assert list(zip(names, counts, strict=True)) == [
        ("C", "1"),
        ("no label", "1"),
        ("unknown", "2"),
    ]
    assert "C, B" in opened.hover(opened.pixels(BASE[:4])[0])


def test_the_absence_of_the_only_label_has_its_name(open_page):
    cats = [{"SPAM": 1.0}, {"SPAM": 0.0}]
    documents = make_documents(["a", "b"], cats, labels=["SPAM"], exclusive=False)
    opened = open_page(make_page(documents, BASE[:2]))
    assert opened.page.locator("#legend .name").all_text_contents() == ["SPAM", "not SPAM"]


def test_without_any_label_there_is_no_legend(open_page):
    opened = open_page(make_page(make_documents(TEXTS, [{}] * 5, labels=[]), BASE))
    assert not opened.page.is_visible("#colouring")
    assert not opened.page.is_visible("#legend")
    places = opened.pixels(BASE)
    assert opened.colour(places[0]) != BACKGROUND
    assert opened.hover(places[0]).split() == [*TEXTS[0].split(), "Id", "doc-0"]


def test_unlabelled_documents_have_the_colours_of_their_predictions(open_page):
    documents = make_documents(
        TEXTS,
        [{}] * 5,
        probabilities=[[0.9, 0.1]] * 4 + [[0.2, 0.8]],
        predicted_labels=["A", "B"],
    )
    opened = open_page(make_page(documents, BASE))
    assert opened.page.locator("#legend .name").all_text_contents() == ["A", "B"]
    assert opened.page.locator("#colouring option:checked").inner_text() == "Predicted label"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_28_labels_can_be_told_apart(open_page, scheme):
    labels = [f"label {i:02}" for i in range(28)]
    xy = [(i % 7, i // 7) for i in range(28)]
    cats = [{label: 1.0} for label in labels]
    documents = make_documents([f"text {i}" for i in range(28)], cats, labels=labels)
    opened = open_page(make_page(documents, xy), color_scheme=scheme)
    paths = opened.page.locator("#legend path")
    looks = [(p.get_attribute("fill"), p.get_attribute("d")) for p in paths.all()]
    assert len(set(looks)) == 28
    colours = {colour for colour, _ in looks}
    rgb = np.array([[int(c[at : at + 2], 16) for at in (1, 3, 5)] for c in colours], dtype=float)
    apart = np.linalg.norm(rgb[:, None] - rgb[None], axis=2) + 1e9 * np.eye(len(rgb))
    assert apart.min() > 60
    if scheme == "light":
        assert [colour for colour, _ in looks[:8]] == [colour.lower() for colour in PALETTE]
    for place in opened.pixels(xy):
        assert opened.colour(place) not in (BACKGROUND, DARK)
    # It scrolls, and the last entry can be reached.
    sizes = opened.page.eval_on_selector("#legend", "(e) => [e.scrollHeight, e.clientHeight]")
    assert sizes[0] > sizes[1]
    opened.entry("label 27").locator(".entry").click()
    assert opened.hover(opened.pixels(xy)[27]) is None


def test_the_dark_scheme_is_followed_while_the_page_is_open(five):
    place = five.pixels(BASE)[0]
    light = five.colour(place)
    assert five.colour(place + 30) == BACKGROUND
    five.entry("B").locator(".entry").click()
    five.page.emulate_media(color_scheme="dark")
    assert five.colour(place + 30) == DARK
    assert five.colour(place) != light
    assert five.entry("B").locator(".entry").get_attribute("aria-pressed") == "false"
    ground = five.page.eval_on_selector("body", "(e) => getComputedStyle(e).backgroundColor")
    assert ground == "rgb(27, 31, 38)"


@pytest.mark.parametrize("ratio", [1, 2, 2.625])
def test_the_plot_has_the_pixels_of_the_screen(open_page, ratio):
    opened = open_page(make_page(make_documents(TEXTS, CATS), BASE), device_scale_factor=ratio)
    opened.settle()
    sizes = opened.canvas.evaluate("(e) => [e.width, parseFloat(e.style.width)]")
    assert sizes[0] == pytest.approx(sizes[1] * ratio, abs=1e-3)
    room = opened.canvas.evaluate("(e) => e.parentElement.clientWidth")
    assert room - 1 <= sizes[1] <= room
    assert [opened.shown_text(place) for place in opened.pixels(BASE)] == TEXTS
    assert opened.colour(opened.pixels(BASE)[0]) != BACKGROUND
