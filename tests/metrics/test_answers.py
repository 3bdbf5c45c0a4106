"""Recall@k and MRR of queries among candidates, against loops over what the definition says."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from spacy_embtune.metrics import (
    Units,
    answer_ratios,
    answer_scores,
    check_pairs,
    compare_ratios,
    link_sides,
)

# Vectors whose cosines tie often.
FEW = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [-1.0, 0.5], [0.0, 0.0]])


def by_hand(queries, candidates, pairs, at, same=None):
    """RETURNS (tuple): Recall at each k and MRR, means over all orders of ties."""
    recalls, reciprocals = [], []
    for q, query in enumerate(queries):
        if not query.any():
            continue
        others = [
            c
            for c, candidate in enumerate(candidates)
            if candidate.any() and (same is None or same[q] != c)
        ]
        right = {c for a, c in pairs if a == q and c in others}
        if not right:
            continue
        cosine = {
            c: round(
                float(query @ candidates[c])
                / np.linalg.norm(query)
                / np.linalg.norm(candidates[c]),
                6,
            )
            for c in others
        }
        found = []
        for order in permutations(others):
            if list(order) != sorted(order, key=lambda c: -cosine[c]):
                continue
            ranks = [order.index(c) + 1 for c in right]
            share = [sum(rank <= k for rank in ranks) / len(ranks) for k in at]
            found.append([*share, 1 / min(ranks)])
        *recall, reciprocal = np.mean(found, axis=0)
        recalls.append(recall)
        reciprocals.append(reciprocal)
    if not recalls:
        return [None] * len(at), None
    return np.mean(recalls, axis=0).tolist(), float(np.mean(reciprocals))


@st.composite
def sides(draw):
    rows = st.lists(st.integers(0, 4), min_size=1, max_size=5)
    queries, candidates = (FEW[draw(rows)] for _ in range(2))
    n, m = len(queries), len(candidates)
    pair = st.tuples(st.integers(0, n - 1), st.integers(0, m - 1))
    same = None
    if draw(st.booleans()):
        same = [draw(st.integers(-1, m - 1)) for _ in range(n)]
    return queries, candidates, draw(st.lists(pair, max_size=8)), same


@pytest.mark.slow
@settings(deadline=None, max_examples=80)
@given(sides(), st.sampled_from([None, 1, 2]))
def test_scores_are_means_over_all_orders_of_ties(given_sides, block_size):
    queries, candidates, pairs, same = given_sides
    at = [1, 2, 3]
    scores = answer_scores(queries, candidates, pairs, at=at, same=same, block_size=block_size)
    recall, mrr = by_hand(queries, candidates, pairs, at, same)
    if mrr is None:
        assert list(scores.recall.values()) == [None] * 3
        assert scores[1:] == (None, 0)
        return
    assert_allclose(list(scores.recall.values()), recall)
    assert_allclose(scores.mrr, mrr)


def test_equal_vectors_score_as_chance():
    ones = np.ones((40, 3))
    scores = answer_scores(ones, ones)
    assert scores.recall == pytest.approx({1: 1 / 40, 5: 5 / 40, 10: 10 / 40})
    assert scores.mrr == pytest.approx((1 / np.arange(1, 41)).mean())


def test_several_right_answers_share_the_recall():
    candidates = np.array([[1.0, 0.1], [1.0, 0.2], [1.0, 0.3]])
    scores = answer_scores([[1.0, 0.0]], candidates, [[0, 0], [0, 2]], at=[1, 2, 3])
    assert scores.recall == {1: 0.5, 2: 0.5, 3: 1.0}
    assert scores.mrr == 1.0


def test_a_gain_is_beyond_chance():
    rng = np.random.default_rng(0)
    left = rng.normal(size=(60, 8))
    noisy, near = (left + size * rng.normal(size=(60, 8)) for size in (3.0, 0.5))
    first, second = (answer_ratios(left, right).mrr for right in (noisy, near))
    found = compare_ratios([first], [second])
    assert found.better == [True]
    assert found.each[0].low > 0


def test_rows_that_are_linked_are_one_unit():
    units = link_sides([[0, 0], [1, 0], [2, 1]], 4, 2)
    assert units.first[0] == units.first[1] == units.second[0]
    assert units.first[2] == units.second[1] != units.first[0]
    assert (units.n_units, units.swap()) == (3, Units(units.second, units.first, 3))


def test_the_sides_of_a_pair_are_its_unit_in_both_directions():
    rng = np.random.default_rng(1)
    left, right = rng.normal(size=(2, 5, 3))
    units = link_sides(None, 5, 5)
    there = answer_ratios(left, right, units=units)
    back = answer_ratios(right, left, units=units.swap())
    assert there.mrr.numerator.shape == back.mrr.numerator.shape == (5, 1)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (([[1.0, 2.0]], [[1.0]]), r"shape \(1, 2\) and candidates \(1, 1\)"),
        (([1.0, 2.0], [[1.0]]), "give vectors of one width"),
        ((np.eye(2), np.eye(3, 2)), "2 rows on one side and 3 on the other"),
        ((np.eye(2), np.eye(2), [[0, 2]]), r"\[0, 2\] names a row outside 0\.\.1"),
        ((np.eye(2), np.eye(2), [[-1, 0]]), r"\[-1, 0\] names a row"),
        ((np.eye(2), np.eye(2), [[0.5, 0]]), "pairs must be integers"),
        ((np.eye(2), np.eye(2), [0, 1]), r"of shape \(2,\)"),
        ((np.eye(2) * np.nan, np.eye(2)), "must be finite"),
    ],
)
def test_what_does_not_fit_is_an_error(arguments, match):
    with pytest.raises(ValueError, match=match):
        answer_scores(*arguments)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"at": [0]}, "at holds 0"),
        ({"same": [0]}, r"same must have shape \(2,\)"),
        ({"same": [0, 2]}, "rows of the 2 candidates"),
        ({"block_size": 0}, "block_size"),
    ],
)
def test_settings_out_of_range_are_errors(settings, match):
    with pytest.raises(ValueError, match=match):
        answer_scores(np.eye(2), np.eye(2), **settings)


def test_nothing_to_ask_gives_none():
    for queries, pairs in ((np.zeros((2, 2)), None), (np.eye(2), np.zeros((0, 2)))):
        assert answer_scores(queries, np.eye(2), pairs, at=[1]) == ({1: None}, None, 0)
    assert check_pairs([], 3, 3).shape == (0, 2)
