from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from spacy_embtune.metrics import neighbour_overlap, space_scores

from .made_up import corpora, cosine_steps
from .test_classification import make_targets


@given(corpora())
def test_distances_equal_the_naive_computation_over_pairs(corpus):
    vectors, values, known = corpus
    rows = [i for i in range(len(vectors)) if any(vectors[i])]
    scores = space_scores(vectors, make_targets(values, known))
    if len(rows) < 2:
        assert scores == (None, None, None)
        return
    distance = cdist(vectors, vectors, "cosine")
    assert scores.spread == pytest.approx(
        np.mean([distance[i, j] for i, j in combinations(rows, 2)]), abs=1e-9
    )
    shares = []
    for label in range(values.shape[1]):
        asked = [i for i in rows if known[i, label] > 0]
        carry = [i for i in asked if values[i, label] >= 0.5]
        lack = [i for i in asked if i not in carry]
        if len(carry) < 2 or not lack:
            continue
        between = np.mean([distance[i, j] for i in carry for j in lack])
        if between > 1e-9:
            within = np.mean([distance[i, j] for i, j in combinations(carry, 2)])
            shares.append(within / between)
    assert scores.within == (pytest.approx(np.mean(shares), abs=1e-9) if shares else None)


@given(st.integers(0, 2**32 - 1), st.integers(3, 20), st.integers(2, 8))
def test_effective_rank_is_the_exponential_of_the_entropy_of_singular_values(seed, n, d):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d)).astype("f")
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    singular = np.linalg.svd(unit - unit.mean(axis=0), compute_uv=False)
    p = singular / singular.sum()
    expected = np.exp(-(p * np.log(p + 1e-300)).sum())
    got = space_scores(x, make_targets(np.zeros((n, 1)))).effective_rank
    assert got == pytest.approx(expected, rel=1e-3)


def test_effective_rank_of_known_spaces():
    targets = make_targets(np.zeros((8, 1)))
    on_a_line = np.array([[1, 0, 0], [-1, 0, 0]] * 4)
    assert space_scores(on_a_line, targets).effective_rank == pytest.approx(1.0)
    four_axes = np.vstack([np.eye(4), -np.eye(4)])
    assert space_scores(four_axes, targets).effective_rank == pytest.approx(4.0)
    # float32 noise around one point is no spread.
    rng = np.random.default_rng(0)
    point = (np.ones((8, 50)) + 1e-7 * rng.normal(size=(8, 50))).astype("f")
    same = space_scores(point, targets)
    assert same.effective_rank == 0.0
    assert same.spread == pytest.approx(0.0, abs=1e-9)


def test_labels_that_are_points_have_no_width():
    x = np.repeat(np.eye(3), 4, axis=0)
    scores = space_scores(x, make_targets(np.repeat(np.eye(3), 4, axis=0)))
    assert scores.within == pytest.approx(0.0, abs=1e-9)
    rng = np.random.default_rng(0)
    unrelated = space_scores(rng.normal(size=(400, 5)), make_targets(np.eye(2)[np.arange(400) % 2]))
    assert unrelated.within == pytest.approx(1.0, abs=0.02)


@pytest.mark.slow
@given(corpora(), corpora(), st.integers(1, 4))
def test_overlap_equals_the_naive_computation(one, other, k):
    n = min(len(one[0]), len(other[0]))
    first, second = one[0][:n], other[0][:n]
    rows = [i for i in range(n) if any(first[i]) and any(second[i])]
    if len(rows) - 1 <= k:
        assert neighbour_overlap(first, second, k) is None
        return
    shares = []
    for i in rows:
        near = [
            set(
                sorted((j for j in rows if j != i), key=lambda j: (-cosine_steps(v[i], v[j]), j))[
                    :k
                ]
            )
            for v in (first, second)
        ]
        shares.append(len(near[0] & near[1]) / k)
    assert neighbour_overlap(first, second, k) == pytest.approx(np.mean(shares))


def test_overlap_of_a_space_with_itself_turned_and_with_another():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 8))
    turn, _ = np.linalg.qr(rng.normal(size=(8, 8)))
    assert neighbour_overlap(x, 3 * x @ turn) == 1.0
    by_chance = neighbour_overlap(x, rng.normal(size=(300, 5)))
    assert by_chance == pytest.approx(10 / 299, abs=0.02)


def test_vectors_of_other_documents_are_an_error():
    with pytest.raises(ValueError, match="20 and 19"):
        neighbour_overlap(np.ones((20, 2)), np.ones((19, 2)))
