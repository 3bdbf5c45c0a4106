"""Sentences and spans in the page: each is shown within its document."""

import pytest

from spacy_embtune.data import Location

from .opened import make_documents, make_page
from .test_page import data_of
from .test_page_hostile import HOSTILE, valid

FIRST = "Good soup. Old bread. <b>New</b> salt."
LONG = f"{'a' * 500} middle {'z' * 500}"
PARTS = [
    Location("7", FIRST, 0, 10),
    Location("7", FIRST, 11, 21),
    Location("8", LONG, 501, 507),
]
XY = [(0, 0), (4, 0), (4, 3)]


def make_units(parts):
    """RETURNS (Documents): Parts of texts."""
    texts = [part.text[part.start : part.end] for part in parts]
    documents = make_documents(texts, [{}] * len(parts))
    return documents._replace(locations=parts)


def test_a_part_comes_with_a_bounded_context():
    data = data_of(make_page(make_units(PARTS), XY))
    assert data["texts"] == ["Good soup.", "Old bread.", "middle"]
    before, behind = zip(*data["contexts"], strict=True)
    assert before[:2] == ("", "Good soup. ")
    assert behind[:2] == (" Old bread. <b>New</b> salt.", " <b>New</b> salt.")
    assert before[2] == f"…{'a' * 119} "
    assert behind[2] == f" {'z' * 119}…"
    assert data["subtitle"].startswith("3 units of 2 documents")


def test_whole_documents_have_no_context():
    data = data_of(make_page(make_documents(["a", "b", "c"], [{}] * 3), XY))
    assert data["contexts"] is None
    assert data["subtitle"].startswith("3 documents")


def test_only_the_contexts_of_documents_that_are_shown_are_in_the_page():
    data = data_of(make_page(make_units(PARTS), [(0, 0), (float("nan"), 0), (1, 1)]))
    assert [before[:1] for before, _ in data["contexts"]] == ["", "…"]
    assert data["subtitle"].startswith("2 units of 2 documents")


def test_the_tip_and_the_list_mark_the_part_in_its_document(open_page):
    opened = open_page(make_page(make_units(PARTS), XY))
    places = opened.pixels(XY)
    assert opened.shown_text(places[1]) == FIRST
    assert opened.page.text_content("#tip-text mark") == "Old bread."
    opened.lasso(opened.around(places))
    marked = opened.page.locator("#list mark").all_text_contents()
    assert marked == ["Good soup.", "Old bread.", "middle"]
    assert opened.page.locator("#list .text").all_text_contents()[1] == FIRST
    # What is written as HTML in a text stays text.
    assert opened.page.locator("#list b, #tip b").count() == 0


@pytest.mark.parametrize("start", [0, 12])
def test_hostile_contexts_are_shown_as_they_are(open_page, start):
    hostile = HOSTILE[start : start + 12]
    parts = [
        Location(str(i), f"{text}part{text}", len(text), len(text) + 4)
        for i, text in enumerate(hostile)
    ]
    xy = [(i % 4, i // 4) for i in range(len(parts))]
    opened = open_page(make_page(make_units(parts), xy))
    for text, place in zip(hostile, opened.pixels(xy), strict=True):
        before, behind = text[-120:], text[:120]
        before = before if len(text) <= 120 else f"…{before}"
        behind = behind if len(text) <= 120 else f"{behind}…"
        assert opened.shown_text(place) == valid(f"{before}part{behind}")
    assert opened.page.evaluate("window.pwned") is None
