import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from spacy_embtune.data import combine_pairs


def by_hand(n, explicit, groups):
    """Compute each pair on its own."""
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
def known_pairs(draw):
    n = draw(st.integers(0, 8))
    rows = st.integers(0, n - 1)
    scores = st.sampled_from([0.0, 0.25, 0.5, 1.0])
    pairs = st.tuples(rows, rows, scores).filter(lambda pair: pair[0] != pair[1])
    explicit = draw(st.lists(pairs, max_size=12)) if n > 1 else []
    groups = draw(st.none() | st.lists(st.sampled_from([None, "a", "b"]), min_size=n, max_size=n))
    return n, explicit, groups


@pytest.mark.slow
@given(known_pairs())
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
def test_inconsistent_arguments_are_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        combine_pairs(*arguments)
