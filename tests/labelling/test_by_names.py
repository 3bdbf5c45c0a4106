"""Texts in order of their nearness to the names of labels."""

import numpy as np
import pytest

from spacy_embtune.labelling import match_names

VECTORS = {
    "food": [1.0, 0.0, 0.0],
    "sport": [0.0, 1.0, 0.0],
    "soup": [0.9, 0.1, 1.0],
    "bread and soup": [0.6, 0.3, 1.0],
    "a goal": [0.1, 0.9, 1.0],
    "": [0.0, 0.0, 0.0],
}


class Table:
    """Looks the vectors of texts up."""

    def transform(self, texts):
        return np.asarray([VECTORS[text] for text in texts], dtype="float32")


def test_each_text_has_its_nearest_label_and_score():
    matches = match_names(["soup", "a goal", "bread and soup"], ["FOOD", "SPORT"], Table())
    assert matches.names == ["FOOD", "SPORT"]
    assert matches.labels == ["FOOD", "SPORT", "FOOD"]
    assert matches.cosines.shape == (3, 2)
    np.testing.assert_allclose(matches.scores, matches.cosines.max(axis=1))
    assert (matches.margins >= 0).all()


def test_texts_are_ordered_by_a_label_or_by_their_margin():
    pile = ["bread and soup", "a goal", "soup"]
    matches = match_names(pile, ["FOOD", "SPORT"], Table())
    assert [pile[i] for i in matches.order("FOOD")] == ["soup", "bread and soup", "a goal"]
    assert pile[matches.order("SPORT")[0]] == "a goal"
    assert (np.diff(matches.margins[matches.order()]) <= 0).all()
    with pytest.raises(ValueError, match="no label 'MUSIC'"):
        matches.order("MUSIC")


def test_a_text_without_a_vector_has_no_label():
    matches = match_names(["soup", "", "a goal"], ["FOOD", "SPORT"], Table())
    assert matches.labels == ["FOOD", None, "SPORT"]
    assert matches.scores[1] == 0.0


def test_no_text_and_one_text_are_no_error():
    assert match_names([], ["FOOD", "SPORT"], Table()).labels == []
    assert match_names(["soup"], ["FOOD", "SPORT"], Table()).labels == ["FOOD"]


def test_descriptions_replace_names_and_codes_are_an_error():
    texts = {"A": ["soup", "bread and soup"], "B": "a goal"}
    assert match_names(["soup", "a goal"], [], Table(), label_texts=texts).labels == ["A", "B"]
    with (
        pytest.warns(UserWarning, match="look like codes"),
        pytest.raises(ValueError, match="No label has a text"),
    ):
        match_names(["soup"], ["A", "B"], Table())
