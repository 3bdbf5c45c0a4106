"""Selecting in the page, and what is downloaded."""

import numpy as np
import pytest

from spacy_embtune.data import read_records
from spacy_embtune.labels import make_targets

from .opened import make_documents, make_page

SQUARE = [(0, 0), (4, 0), (4, 3), (0, 3)]
TEXTS = ["one", "two", "three", "four"]
CATS = [{"A": 1.0}, {"B": 0.0}, {}, {"C": 1.0}]


@pytest.fixture
def four(open_page):
    return open_page(make_page(make_documents(TEXTS, CATS), SQUARE))


def winding(path, places):
    """RETURNS (ndarray): How often a closed path runs around each place: by angles, which is
    another way than that of the page."""
    sides = path[None] - places[:, None]
    angles = np.arctan2(sides[..., 1], sides[..., 0])
    turns = np.diff(np.concatenate([angles, angles[:, :1]], axis=1), axis=1)
    return np.rint(((turns + np.pi) % (2 * np.pi) - np.pi).sum(axis=1) / (2 * np.pi)).astype(int)


def distance_to(path, places):
    """RETURNS (ndarray): How far each place is from the nearest side of a closed path."""
    a, b = path[None], np.roll(path, -1, axis=0)[None]
    p = places[:, None]
    along = np.clip(((p - a) * (b - a)).sum(-1) / ((b - a) ** 2).sum(-1), 0, 1)
    return np.linalg.norm(p - a - along[..., None] * (b - a), axis=-1).min(axis=1)


def star(rng, n=14):
    """RETURNS (ndarray): A closed path with dents, in a square from 0 to 1."""
    turn = np.sort(rng.uniform(0, 2 * np.pi, n))
    radius = rng.uniform(0.12, 0.45, n)
    return 0.5 + radius[:, None] * np.stack([np.cos(turn), np.sin(turn)], axis=1)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("space", ["base", "tuned"])
def test_a_loop_selects_exactly_what_is_inside(open_page, seed, space):
    rng = np.random.default_rng(seed)
    xy = {"base": rng.normal(size=(300, 2)), "tuned": rng.uniform(size=(300, 2))}
    documents = make_documents([f"text {i}" for i in range(300)], [{}] * 300)
    opened = open_page(make_page(documents, xy["base"], xy["tuned"]))
    opened.page.check(f"input[value={space}]")
    places = opened.pixels(xy[space])
    # To the pixel, as mice move.
    path = np.rint(places.min(axis=0) + star(rng) * np.ptp(places, axis=0))
    opened.lasso(path)
    inside = winding(path, places) != 0
    sure = distance_to(path, places) > 1
    listed = {int(name.removeprefix("doc-")) for name in selected(opened)}
    assert 10 < inside.sum() < 290
    assert {i for i in listed if sure[i]} == set(np.flatnonzero(inside & sure))
    assert opened.page.inner_text("#count") == f"{len(listed)} texts selected"
    assert [record["id"] for record in opened.records()] == [f"doc-{i}" for i in sorted(listed)]


def selected(opened):
    while opened.page.is_visible("#more"):
        opened.page.click("#more")
    return opened.listed()


def test_a_loop_selects_what_is_inside_after_zooming_and_moving(four):
    places = four.pixels(SQUARE)
    four.page.mouse.move(*places[1])
    four.page.mouse.wheel(0, -300)
    four.lasso(four.around([places[1]]))
    assert four.listed() == ["doc-1"]


def test_a_loop_that_leaves_the_plot_selects_what_is_inside_it(four):
    places = four.pixels(SQUARE)
    box = four.canvas.bounding_box()
    right = box["x"] + box["width"] + 100
    four.lasso(
        [
            places[1] - [30, 30],
            (right, places[1][1] - 30),
            (right, places[1][1] + 20),
            places[1] + [-30, 20],
        ]
    )
    assert four.listed() == ["doc-1"]


def test_a_loop_can_add_and_take_out(four):
    places = four.pixels(SQUARE)
    four.lasso(four.around(places[:2]))
    assert sorted(four.listed()) == ["doc-0", "doc-1"]
    four.page.keyboard.down("Control")
    four.lasso(four.around(places[2]))
    four.page.keyboard.up("Control")
    assert sorted(four.listed()) == ["doc-0", "doc-1", "doc-2"]
    four.page.keyboard.down("Alt")
    four.lasso(four.around(places[1:3]))
    four.page.keyboard.up("Alt")
    assert four.listed() == ["doc-0"]
    four.lasso(four.around(places[3]))
    assert four.listed() == ["doc-3"]


def test_an_empty_loop_selects_nothing(four):
    middle = four.pixels([*SQUARE, (2, 1.5)])[4]
    four.lasso(four.around(middle))
    assert four.listed() == []
    assert four.page.inner_text("#count") == "Nothing selected"
    assert four.page.is_visible("#hint")
    assert not four.page.is_visible("#download")


def test_escape_breaks_off_a_loop_and_then_clears_the_selection(four):
    places = four.pixels(SQUARE)
    four.page.mouse.click(*places[0])
    four.lasso(four.around(places), release=False)
    drawn = four.colour(places[0] - [0, 60])
    assert drawn != (255, 255, 255)
    four.page.keyboard.press("Escape")
    four.page.mouse.up()
    assert four.colour(places[0] - [0, 60]) == (255, 255, 255)
    assert four.listed() == ["doc-0"]
    four.page.keyboard.press("Escape")
    assert four.listed() == []


def test_clicks_select_and_take_out(four):
    places = four.pixels(SQUARE)
    for place in places[:3]:
        four.page.mouse.click(*place)
    four.page.mouse.click(*places[1])
    assert four.listed() == ["doc-0", "doc-2"]
    four.page.mouse.click(*(places[0] + [0, -80]))
    assert four.listed() == ["doc-0", "doc-2"]
    four.page.click("#clear")
    assert four.listed() == []


def test_the_list_points_at_the_points_and_gives_texts_back(four):
    four.lasso(four.around(four.pixels(SQUARE)))
    four.page.hover("#list li:nth-child(3)")
    assert four.page.text_content("#tip-text") == "three"
    four.page.click("#list li:nth-child(3) .remove")
    assert four.listed() == ["doc-0", "doc-1", "doc-3"]
    assert four.page.inner_text("#count") == "3 texts selected"
    focused = four.page.evaluate(
        "document.activeElement.closest('li').querySelector('.id').textContent"
    )
    assert focused == "doc-3"
    for _ in range(3):
        four.page.keyboard.press("Enter")
    assert four.listed() == []


def test_a_long_text_is_cut_in_the_list_and_whole_in_the_download(open_page):
    text = "word " * 3000 + "end"
    opened = open_page(make_page(make_documents([text], [{}]), [0, 0]))
    opened.page.mouse.click(*opened.pixels([(0, 0)])[0])
    item = opened.page.locator("#list .text")
    low = item.bounding_box()["height"]
    item.click()
    assert item.get_attribute("aria-expanded") == "true"
    assert item.bounding_box()["height"] > 3 * low
    assert opened.records()[0]["text"] == text


def test_the_download_says_what_is_known_and_no_more(open_page):
    documents = make_documents(
        TEXTS,
        [{"A": 1.0, "B": 0.25}, {"B": 0.0}, {}, {"A": 0.0, "B": 0.0, "C": 1.0}],
        exclusive=False,
        predicted_labels=["A", "B", "Z"],
        probabilities=[[0.91234, 0.2, 0.00001], [0, 1, 0], [0.5, 0.5, 0.5], [0.1, 0.2, 0.3]],
    )
    opened = open_page(make_page(documents, SQUARE))
    opened.lasso(opened.around(opened.pixels(SQUARE)))
    assert opened.records() == [
        {
            "id": "doc-0",
            "text": "one",
            "cats": {"A": 1, "B": 0.25},
            "predicted": {"A": 0.9123, "B": 0.2, "Z": 0},
        },
        {"id": "doc-1", "text": "two", "cats": {"B": 0}, "predicted": {"A": 0, "B": 1, "Z": 0}},
        {
            "id": "doc-2",
            "text": "three",
            "cats": {},
            "predicted": {"A": 0.5, "B": 0.5, "Z": 0.5},
        },
        {
            "id": "doc-3",
            "text": "four",
            "cats": {"A": 0, "B": 0, "C": 1},
            "predicted": {"A": 0.1, "B": 0.2, "Z": 0.3},
        },
    ]


def test_the_download_can_be_read_as_training_data(four, tmp_path):
    four.lasso(four.around(four.pixels(SQUARE)))
    path = tmp_path / "selected.jsonl"
    path.write_bytes(four.download())
    records = list(read_records(path))
    assert [record.text for record in records] == TEXTS
    assert [record.id for record in records] == [f"doc-{i}" for i in range(4)]
    labels = ["A", "B", "C"]
    again = make_targets([record.cats for record in records], labels, exclusive=True)
    before = make_targets(CATS, labels, exclusive=True)
    np.testing.assert_array_equal(again.values, before.values)
    np.testing.assert_array_equal(again.known, before.known)


def test_the_download_has_the_other_fields_to_the_last_digit(open_page):
    fields = [
        {"url": "</script><b>", "key": 2**60 + 1, "price": 1.0, "tags": ["a\u2028", {"n": None}]},
        {"cats": "mine", "text": 3, "__proto__": {"a": 1}, 'odd "name"\\': "x"},
        {},
        {"late": float("nan")},
    ]
    documents = make_documents(TEXTS, CATS)._replace(fields=fields)
    opened = open_page(make_page(documents, SQUARE))
    opened.lasso(opened.around(opened.pixels(SQUARE)))
    records = opened.records()
    own = {"id", "text", "cats"}
    assert [record["text"] for record in records] == TEXTS
    assert [{k: v for k, v in record.items() if k not in own} for record in records] == [
        fields[0],
        {
            "cats_in_data": "mine",
            "text_in_data": 3,
            "__proto__": {"a": 1},
            'odd "name"\\': "x",
        },
        {},
        {"late": None},
    ]
    assert type(records[0]["price"]) is float


@pytest.mark.parametrize("label", ["B", "new", "__proto__"])
def test_what_is_selected_can_be_labelled_at_once(four, label):
    four.lasso(four.around(four.pixels(SQUARE)[:2]))
    four.page.fill("#label", f" {label} ")
    others = {name: 0 for name in "ABC" if name != label}
    assert [record["cats"] for record in four.records()] == [{**others, label: 1}] * 2
    options = four.page.eval_on_selector_all("#labels option", "(all) => all.map((e) => e.value)")
    assert sorted(options) == ["A", "B", "C"]


def test_a_label_of_several_leaves_the_others_as_they_were(open_page):
    cats = [{"A": 1.0, "B": 0.0}, {}]
    opened = open_page(make_page(make_documents(["a", "b"], cats, exclusive=False), SQUARE[:2]))
    opened.lasso(opened.around(opened.pixels(SQUARE[:2])))
    opened.page.fill("#label", "B")
    opened.page.press("#label", "Control+a")  # typing is not taken for keys of the plot
    assert [record["cats"] for record in opened.records()] == [{"A": 1, "B": 1}, {"B": 1}]


def test_touch_taps_loops_and_pinches(open_page):
    opened = open_page(
        make_page(make_documents(TEXTS, CATS), SQUARE),
        viewport={"width": 390, "height": 844},
        device_scale_factor=2,
        has_touch=True,
        is_mobile=True,
    )
    places = opened.pixels(SQUARE)
    opened.page.touchscreen.tap(*(places[1] + [-10, 10]))
    assert opened.listed() == ["doc-1"]
    assert opened.page.is_visible("#tip")
    touch(opened, [[(place)] for place in [*opened.around(places[2:]), places[3]]])
    assert sorted(opened.listed()) == ["doc-2", "doc-3"]
    # Two fingers that part, from the middle: twice as large, and nothing is selected.
    box = opened.canvas.bounding_box()
    middle = np.array([box["x"] + box["width"] / 2, box["y"] + box["height"] / 2])
    apart = [np.array([[-by, 0], [by, 0]]) + middle for by in (30, 40, 50, 60)]
    touch(opened, apart)
    opened.settle()
    assert sorted(opened.listed()) == ["doc-2", "doc-3"]
    inside = opened.pixels(SQUARE)
    assert opened.colour(inside[1]) == (255, 255, 255)
    opened.page.check("input[value=move]")
    touch(opened, [[middle], [middle * 1.1], [2 * middle - inside[1]]])
    opened.settle()
    # The corner is twice as far from the middle, which has moved by as much as the corner was.
    assert opened.colour(inside[1]) != (255, 255, 255)


def touch(opened, steps):
    """Fingers go down at the places of the first step, move to the others, and are lifted."""
    client = opened.context.new_cdp_session(opened.page)
    for i, places in enumerate(steps):
        points = [{"x": float(x), "y": float(y), "id": k} for k, (x, y) in enumerate(places)]
        kind = "touchMove" if i else "touchStart"
        client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    client.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    client.detach()
