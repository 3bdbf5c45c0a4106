import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from spacy_embtune.data import _pair_sampling
from spacy_embtune.data._pair_sampling import (
    sample_partners,
    similarity_by_cats,
    similarity_by_group,
)


@pytest.mark.slow
def test_memory_stays_far_below_that_of_all_pairs(monkeypatch):
    monkeypatch.setattr(_pair_sampling, "BLOCK_ENTRIES", 2**14)
    n = 2000
    rng = np.random.default_rng(0)
    texts = [str(i) for i in range(n)]
    by_block = similarity_by_group([str(i) for i in rng.integers(0, 100, n)])
    vectors = rng.normal(size=(n, 8)).astype("f")
    tracemalloc.start()
    try:
        for _ in sample_partners(texts, by_block, rng, n_pos=1, n_neg=1, vectors=vectors):
            pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The similarities of all pairs alone would take 16 MB.
    assert peak < 3 * 2**20


def test_many_copies_of_the_nearest_negative_do_not_hide_the_others():
    texts = ["a", *["b"] * 20, "c", "d"]
    groups = ["1", *["2"] * 22]
    vectors = np.asarray([[1, 0], *[[1, 0.1]] * 20, [1, 0.5], [1, 0.7]], dtype="f")
    rng = np.random.default_rng(0)
    first = next(
        sample_partners(texts, similarity_by_group(groups), rng, n_pos=0, n_neg=2, vectors=vectors)
    )
    assert first.negatives == [(1, 0.0), (21, 0.0)]


def test_similarities_are_the_same_for_any_block():
    groups = ["a", None, "a", "b"]
    similarity, known = similarity_by_group(groups)(np.arange(4))
    assert_array_equal(similarity[known], [1, 1, 0, 1, 1, 0, 0, 0, 1])
    assert_array_equal(known.sum(axis=1), [3, 0, 3, 3])
    by_block = similarity_by_cats([{"A": 1.0}, {"A": 0.5}, {"A": 0.0}, {}], exclusive=False)
    similarity, known = by_block(np.arange(4))
    assert_array_equal(similarity[0, :3], [1, 0.5, 0])
    for rows in ([0], [1, 3], [2]):
        block = by_block(np.asarray(rows))
        assert_array_equal(block[0], similarity[rows])
        assert_array_equal(block[1], known[rows])


def test_positives_begin_at_half_alike():
    scores = np.asarray([[1, 0.5, 0.49, 0.0]] * 4)

    def by_block(rows):
        return scores[rows], np.ones((len(rows), 4), dtype=bool)

    first = next(sample_partners("abcd", by_block, np.random.default_rng(0), n_pos=9, n_neg=9))
    assert first.positives == [(1, 0.5)]
    assert sorted(first.negatives) == [(2, 0.49), (3, 0.0)]


@pytest.mark.parametrize("n_copies", [1, 30])
def test_copies_of_a_text_do_not_take_the_places_of_others(n_copies):
    texts = ["a", "b", *["c"] * n_copies]
    by_block = similarity_by_group(["g"] * len(texts))
    rng = np.random.default_rng(0)
    for _ in range(20):
        first = next(sample_partners(texts, by_block, rng, n_pos=2, n_neg=0))
        assert {texts[i] for i, _ in first.positives} == {"b", "c"}
