import math
from itertools import product

import numpy as np
import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from spacy.tokens import DocBin

from spacy_embtune.data.pairs import (
    GROUP,
    PARTNERS,
    Partner,
    combine_pairs,
    get_group,
    get_partners,
    set_group,
    set_partners,
)

NLP = spacy.blank("en")


def test_partners_and_group_are_kept_by_docbin_and_bytes():
    doc = NLP("A man eats.")
    set_partners(doc, [("Someone eats.", 0.8), ("A dog sleeps.", np.float32(0.0))])
    set_group(doc, "meals")
    docs = DocBin(store_user_data=True)
    docs.add(doc)
    (stored,) = DocBin().from_bytes(docs.to_bytes()).get_docs(NLP.vocab)
    for copy in (doc, stored, spacy.tokens.Doc(NLP.vocab).from_bytes(doc.to_bytes()), doc.copy()):
        assert get_partners(copy) == [Partner("Someone eats.", 0.8), Partner("A dog sleeps.", 0.0)]
        assert get_group(copy) == "meals"


def test_without_partners_and_group_there_are_none():
    doc = NLP("A man eats.")
    assert (get_partners(doc), get_group(doc)) == ([], None)
    set_partners(doc, [("Someone eats.", 1.0)])
    set_partners(doc, [])
    assert doc.user_data == {}


@pytest.mark.parametrize(
    ("partners", "message"),
    [
        ("Someone eats.", "list of"),
        ([("Someone eats.",)], "not a text and a score"),
        (["Someone eats."], "not a text and a score"),
        ([(3, 1.0)], "partner is 3, a int"),
        ([(" \n", 1.0)], "empty text"),
        ([(" A man\neats. ", 1.0)], "paired with itself"),
        ([("Someone eats.", 1.5)], "1.5 is outside 0..1"),
        ([("Someone eats.", -0.1)], "-0.1 is outside 0..1"),
        ([("Someone eats.", math.nan)], "is NaN"),
        ([("Someone eats.", math.inf)], "inf is outside 0..1"),
        ([("Someone eats.", 10**400)], "inf is outside 0..1"),
        ([("Someone eats.", "1.0")], "'1.0' is not a number"),
        ([("Someone eats.", None)], "None is not a number"),
        ([("Someone eats.", True)], "True is not a number"),
    ],
)
def test_wrong_partners_are_errors_that_name_document_and_cause(partners, message):
    doc = NLP("A man eats.")
    doc.user_data[PARTNERS] = partners
    with pytest.raises(ValueError, match=r"document 'A man eats\.'") as error:
        get_partners(doc)
    assert message in str(error.value)
    doc.user_data.clear()
    with pytest.raises(ValueError, match=r"document 'A man eats\.'"):
        set_partners(doc, [tuple(partners)] if isinstance(partners, str) else partners)
    assert doc.user_data == {}


@pytest.mark.parametrize("group", ["", 3, ("a",)])
def test_a_group_is_a_string_that_is_not_empty(group):
    doc = NLP("A man eats.")
    doc.user_data[GROUP] = group
    with pytest.raises(ValueError, match=r"document 'A man eats\.': the group is"):
        get_group(doc)
    with pytest.raises(ValueError, match="the group is"):
        set_group(doc, group)


# Arrays


def by_hand(n, explicit, groups):
    """One pair after the other."""
    similarity, weight = np.zeros((n, n)), np.zeros((n, n))
    for i, j in product(range(n), range(n)):
        scores = [s for a, b, s in explicit if {a, b} == {i, j}]
        if i == j:
            continue
        if scores:
            similarity[i, j], weight[i, j] = sum(scores) / len(scores), 1.0
        elif groups is not None and groups[i] is not None and groups[j] is not None:
            similarity[i, j], weight[i, j] = float(groups[i] == groups[j]), 1.0
    return similarity, weight


@st.composite
def what_is_known(draw):
    n = draw(st.integers(0, 8))
    rows = st.integers(0, n - 1)
    scores = st.sampled_from([0.0, 0.25, 0.5, 1.0])
    pairs = st.tuples(rows, rows, scores).filter(lambda pair: pair[0] != pair[1])
    explicit = draw(st.lists(pairs, max_size=12)) if n > 1 else []
    groups = draw(st.none() | st.lists(st.sampled_from([None, "a", "b"]), min_size=n, max_size=n))
    return n, explicit, groups


@given(what_is_known())
def test_scores_precede_groups(known):
    similarity, weight = combine_pairs(*known)
    assert similarity.dtype == weight.dtype == np.float32
    expected_similarity, expected_weight = by_hand(*known)
    np.testing.assert_allclose(similarity, expected_similarity, atol=1e-6)
    assert_array_equal(weight, expected_weight)
    assert_array_equal(similarity, similarity.T)
    assert_array_equal(weight, weight.T)


def test_contradicting_scores_of_a_pair_are_averaged():
    pairs = combine_pairs(3, [(0, 1, 1.0), (1, 0, 0.0), (0, 1, 0.5), (2, 1, 1.0)])
    assert pairs.similarity[0, 1] == pairs.similarity[1, 0] == 0.5
    assert pairs.similarity[1, 2] == 1.0
    assert pairs.weight.sum() == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((2, [(0, 2, 1.0)]), r"outside 0\.\.1"),
        ((2, [(-1, 1, 1.0)]), r"outside 0\.\.1"),
        ((2, [(0, 1, 1.0), (1, 1, 1.0)]), r"\(1, 1, 1\.0\) pairs a row with itself"),
        ((2, [(0, 1, 1.5)]), "score outside"),
        ((2, [(0, 1, math.nan)]), "score outside"),
        ((2, [], ["a"]), "1 groups for 2 documents"),
    ],
)
def test_what_does_not_fit_is_an_error(arguments, message):
    with pytest.raises(ValueError, match=message):
        combine_pairs(*arguments)
