"""The names of labels as texts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_embtune.labels import find_codes, read_label_texts, tidy_name


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("SPORT", "sport"),
        ("card_not_working", "card not working"),
        ("customerService", "customer service"),
        ("HTTPError", "http error"),
        ("Sci/Tech", "sci tech"),
        ("__label__food", "food"),
        ("rec.sport.baseball", "rec sport baseball"),
        ("R&D", "r and d"),
        ("top10", "top 10"),
        ("C++", "c++"),
        ("C#", "c#"),
        ("#happy", "happy"),
        ("don't know", "don't know"),
        ("Übergröße_Teil2", "übergröße teil 2"),
        ("スポーツ", "スポーツ"),
        ("--", ""),
    ],
)
def test_names_are_tidied(label, words):
    assert tidy_name(label) == words


@pytest.mark.slow
@given(st.text())
def test_a_tidy_name_stays_as_it_is(label):
    tidy = tidy_name(label)
    assert tidy == " ".join(tidy.split())
    assert "_" not in tidy


@pytest.mark.parametrize(
    "labels",
    [
        ["LABEL_0", "LABEL_1"],
        ["0", "1", "2"],
        ["A", "B", "C"],
        ["class a", "class b"],
        ["3.5", "-1"],
        ["type-12", "cat_7", "__label__4"],
    ],
)
def test_codes_are_found_without_an_encoder(labels):
    assert find_codes(labels) == labels


def test_words_are_no_codes():
    assert find_codes(["World", "Sports", "Sci/Tech", "スポーツ", "Übergröße"]) == []


def test_the_encoder_tells_words_from_abbreviations():
    tokens = {"hum": 1, "loc": 1, "weather": 1, "sport": 1, "bookkeeping": 2, "enty": 2}
    assert find_codes(["weather", "bookkeeping", "ENTY"], tokens.get) == ["ENTY"]


def test_names_are_all_codes_if_half_of_them_are():
    tokens = {"abbr": 2, "desc": 2, "enty": 2, "hum": 1, "loc": 1, "num": 1}
    labels = [name.upper() for name in tokens]
    assert find_codes(labels, tokens.get) == labels


def test_texts_are_read_in_all_forms():
    assert read_label_texts(None, ["A"]) == {}
    assert read_label_texts("names", ["FOOD", "--"]) == {"FOOD": ["food"]}
    assert read_label_texts({"A": " soup ", "B": ["x", "x", ""], "C": ""}, []) == {
        "A": ["soup"],
        "B": ["x"],
    }


@pytest.mark.parametrize("setting", ["name", 3, {"A": 1}, {"A": ["x", 1]}, {1: "x"}, ["A"]])
def test_another_form_is_an_error_with_its_cure(setting):
    with pytest.raises(ValueError, match='Give "names", or a mapping from label to a text'):
        read_label_texts(setting, ["A"])
