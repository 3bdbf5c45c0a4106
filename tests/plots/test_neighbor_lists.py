import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from spacy_embtune.plots import compare_neighbors
from spacy_embtune.plots._text import one_line

from ..reports.cases import HOSTILE, make_documents


def make(known=None, texts=None, labels=None):
    base = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]])
    tuned = base[[2, 1, 0, 3]]
    values = np.array([[1, 0], [0, 1], [1, 1], [0, 0]])
    texts = texts or ["first", "second", "third", ""]
    return make_documents(base, tuned, values, known, texts=texts, labels=labels, exclusive=False)


def ask(base, tuned=None):
    tuned = base if tuned is None else tuned
    return make_documents([base], [tuned], [[0, 0]], texts=["the query"], exclusive=False)


def show(lists, width=80):
    stream = io.StringIO()
    Console(file=stream, width=width, highlight=False).print(lists.to_table())
    return stream.getvalue()


def test_both_lists_are_in_the_order_of_their_cosines():
    known = [[1, 1], [1, 1], [0, 0], [1, 1]]
    lists = compare_neighbors(make(known), ask([3, 2, 0]), 2)
    assert lists.query == "the query"
    assert [(found.id, found.labels) for found in lists.base] == [("0", ["A"]), ("1", ["B"])]
    assert [(found.id, found.labels) for found in lists.tuned] == [("2", None), ("1", ["B"])]
    assert [found.cosine for found in lists.base] == pytest.approx(np.array([3, 2]) / 13**0.5)
    assert lists.n_shared == 1
    assert lists.to_dict() == {
        "query": "the query",
        "base": [
            {
                "rank": 1,
                "id": "0",
                "cosine": 0.83205,
                "labels": ["A"],
                "text": "first",
                "fields": {},
            },
            {
                "rank": 2,
                "id": "1",
                "cosine": 0.5547,
                "labels": ["B"],
                "text": "second",
                "fields": {},
            },
        ],
        "tuned": [
            {
                "rank": 1,
                "id": "2",
                "cosine": 0.83205,
                "labels": None,
                "text": "third",
                "fields": {},
            },
            {
                "rank": 2,
                "id": "1",
                "cosine": 0.5547,
                "labels": ["B"],
                "text": "second",
                "fields": {},
            },
        ],
        "n_shared": 1,
    }


def test_the_table_shows_the_lists_side_by_side():
    known = [[1, 1], [1, 1], [0, 0], [1, 1]]
    lines = show(compare_neighbors(make(known), ask([3, 2, 0]), 3)).splitlines()
    assert [line.split() for line in lines if "0." in line] == [
        ["0.83", "A", "0.83", "?"],
        ["0.55", "B", "0.55", "B"],
        ["0.00", "?", "0.00", "A"],
    ]
    assert [line.split() for line in lines if "first" in line or "second" in line] == [
        ["first", "third"],
        ["second", "second"],
        ["third", "first"],
    ]
    assert lines[-1].strip() == "3 of 3 are in both lists"


def test_texts_and_labels_of_any_kind_fit_in_80_columns_and_are_not_obeyed():
    texts = ["[red]x[/red] \x1b[31m\x07" * 30, HOSTILE, "日本語" * 60, ""]
    lists = compare_neighbors(
        make(texts=texts, labels=["[bold]" * 20, "\x1b[2J"]), ask([3, 2, 1]), 3
    )
    output = show(lists)
    assert "\x1b" not in output
    assert "\x07" not in output
    assert "[red]x[/red] [31m" in output
    for line in output.splitlines():
        # A wide character takes two columns.
        assert sum(2 if mark >= "\u3000" else 1 for mark in line) <= 80
    assert max(map(len, show(lists, width=120).splitlines())) <= 120


def test_fewer_documents_than_asked_are_all_shown():
    lists = compare_neighbors(make(), ask([1, 1, 1]), 50)
    assert len(lists.base) == len(lists.tuned) == 3


def test_what_cannot_be_asked_is_an_error():
    with pytest.raises(ValueError, match="The query has 4 texts"):
        compare_neighbors(make(), make(), 1)
    with pytest.raises(ValueError, match="The query has no vector"):
        compare_neighbors(make(), ask([0, 0, 0]), 1)
    with pytest.raises(ValueError, match="k is 0"):
        compare_neighbors(make(), ask([1, 0, 0]), 0)


@given(st.text(), st.integers(1, 30))
def test_one_line_is_one_line_of_at_most_so_many_characters(text, longest):
    line = one_line(text, longest)
    assert len(line) <= longest
    assert line.isprintable()
    assert line == " ".join(line.split())
    if text.isprintable() and text == " ".join(text.split()) and len(text) <= longest:
        assert line == text
