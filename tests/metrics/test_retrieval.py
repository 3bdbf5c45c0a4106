import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_embtune.metrics import _rankings, query_scores, ranking, retrieval_scores

from .made_up import corpora, cosine_steps


def naive_retrieval(vectors, values, known):
    """One query and one label after the other, by full sorts: slow, and plain to see through."""
    per_label = {}
    for label in range(values.shape[1]):
        gallery = [i for i in range(len(vectors)) if known[i, label] > 0 and any(vectors[i])]
        carrying = {i for i in gallery if values[i, label] >= 0.5}
        r = len(carrying) - 1
        if r < 1:
            continue
        p_at_1, map_at_r, r_precision = [], [], []
        for query in sorted(carrying):
            others = [i for i in gallery if i != query]
            others.sort(key=lambda i: (-cosine_steps(vectors[query], vectors[i]), i))
            hits = [i in carrying for i in others[:r]]
            p_at_1.append(hits[0])
            r_precision.append(sum(hits) / r)
            precisions = [sum(hits[: i + 1]) / (i + 1) for i in range(r) if hits[i]]
            map_at_r.append(sum(precisions) / r)
        per_label[label] = [np.mean(p_at_1), np.mean(map_at_r), np.mean(r_precision), r + 1]
    return per_label


def assert_equals_naive(scores, naive, n_labels):
    left_in = sorted(naive)
    for column, name in enumerate(["p_at_1", "map_at_r", "r_precision", "n_queries"]):
        got = getattr(scores.per_label, name)
        assert got.shape == (n_labels,)
        np.testing.assert_allclose(got[left_in], [naive[k][column] for k in left_in], atol=1e-12)
        left_out = np.delete(got, left_in)
        assert (left_out == 0).all() if name == "n_queries" else np.isnan(left_out).all()
    if not naive:
        assert scores[:3] == (None, None, None)
        assert scores.n_queries == 0
    else:
        np.testing.assert_allclose(scores[:3], np.mean(list(naive.values()), axis=0)[:3])
        assert scores.n_queries == sum(row[3] for row in naive.values())


@pytest.mark.slow
@given(corpora(), st.sampled_from([None, 1, 2, 3, 100]))
def test_retrieval_equals_the_naive_computation_for_any_block_size(corpus, block_size):
    vectors, values, known = corpus
    scores = retrieval_scores(vectors, values, known, block_size=block_size)
    assert_equals_naive(scores, naive_retrieval(vectors, values, known), values.shape[1])


@pytest.mark.slow
@given(st.integers(0, 2**32 - 1))
def test_retrieval_equals_the_naive_computation_without_ties(seed):
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(40, 5)).astype("f")
    values = (rng.random((40, 3)) < 0.3).astype("f")
    known = (rng.random((40, 3)) < 0.7).astype("f")
    scores = retrieval_scores(vectors, values, known, block_size=7)
    assert_equals_naive(scores, naive_retrieval(vectors, values, known), 3)


def test_map_at_r_of_a_ranking_worked_out_by_hand():
    # On a quarter circle the neighbours of row 0 are 1, 2, 3, 4 in this order. R = 3; of the three
    # nearest, the first and the third are relevant: (1/1 + 2/3) / 3.
    angles = np.radians([0, 10, 25, 45, 80])
    vectors = np.column_stack([np.cos(angles), np.sin(angles)])
    values = np.array([[1], [1], [0], [1], [1]])
    naive = naive_retrieval(vectors, values, np.ones_like(values))
    scores = retrieval_scores(vectors, values)
    assert_equals_naive(scores, naive, 1)
    # row 1: 0, 2, 3 -> (1 + 2/3)/3; row 3: 2, 4, 1 -> (1/2 + 2/3)/3; row 4: 3, 2, 1 -> (1 + 2/3)/3
    assert scores.map_at_r == pytest.approx((3 * (1 + 2 / 3) + (1 / 2 + 2 / 3)) / 3 / 4)
    assert scores.p_at_1 == 3 / 4
    assert scores.r_precision == pytest.approx(2 / 3)


def test_a_query_never_finds_itself_but_finds_its_duplicate():
    vectors = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], dtype="f")
    assert retrieval_scores(vectors, np.eye(2)[[0, 0, 1, 1]]).p_at_1 == 1.0
    assert retrieval_scores(vectors, np.eye(2)[[0, 1, 0, 1]]).p_at_1 == 0.0


def test_equal_vectors_tie_however_the_matrix_product_rounds():
    # Everybody is equal, so the nearest is row 0, for row 0 it is row 1.
    rng = np.random.default_rng(0)
    row = rng.normal(size=(1, 384)).astype("f")
    # Powers of two: the same direction to the last bit.
    vectors = row * 2.0 ** rng.integers(-3, 4, size=(501, 1))
    values = np.zeros((501, 1))
    values[[0, 1, 500]] = 1
    for block_size in (1, 7, 64, None):
        scores = retrieval_scores(vectors, values, block_size=block_size)
        assert scores.p_at_1 == 1.0
        # rows 0 and 1 find one another, then 2; row 500 finds 0 and 1
        assert scores.map_at_r == pytest.approx((0.5 + 0.5 + 1.0) / 3)


@pytest.mark.slow
@given(corpora(), st.sampled_from([2.0**-20, 4.0, 2.0**30]))
def test_retrieval_does_not_depend_on_the_lengths_of_the_vectors(corpus, factor):
    vectors, values, known = corpus
    scaled = vectors.copy()
    scaled[::2] *= factor
    ours, theirs = (retrieval_scores(v, values, known) for v in (vectors, scaled))
    np.testing.assert_array_equal(ours.per_label, theirs.per_label)


def test_tiny_and_huge_float32_vectors_have_cosines():
    vectors = np.array([[1e-30, 0], [1e-30, 1e-32], [0, 3e38], [1e37, 3e38]], dtype="f")
    assert retrieval_scores(vectors, np.eye(2)[[0, 0, 1, 1]]).p_at_1 == 1.0


def test_labels_of_one_document_or_none_are_left_out_of_the_mean():
    vectors = np.array([[1, 0], [1, 0.1], [0, 1], [0.1, 1]])
    values = np.array([[1, 0, 1], [1, 0, 0], [0, 0, 0], [0, 0, 0]])
    scores = retrieval_scores(vectors, values)
    assert scores.p_at_1 == 1.0
    assert np.isnan(scores.per_label.p_at_1).tolist() == [False, True, True]
    assert scores.n_queries == 2


@pytest.mark.parametrize(
    ("vectors", "values"),
    [
        (np.zeros((0, 3)), np.zeros((0, 2))),
        (np.zeros((4, 3)), np.ones((4, 2))),
        (np.ones((4, 3)), np.zeros((4, 2))),
        (np.ones((4, 3)), np.zeros((4, 0))),
        (np.ones((4, 0)), np.ones((4, 1))),
    ],
)
def test_without_vectors_or_labels_the_scores_are_none(vectors, values):
    scores = retrieval_scores(vectors, values)
    assert scores[:3] == (None, None, None)
    assert scores.n_queries == 0


def test_shapes_that_do_not_fit_and_vectors_that_are_not_finite_are_errors():
    with pytest.raises(ValueError, match=r"shape \(n, d\)"):
        retrieval_scores(np.ones(3), np.ones((3, 1)))
    with pytest.raises(ValueError, match=r"\(3, L\)"):
        retrieval_scores(np.ones((3, 2)), np.ones((2, 1)))
    with pytest.raises(ValueError, match="known has shape"):
        retrieval_scores(np.ones((3, 2)), np.ones((3, 1)), np.ones((3, 2)))
    with pytest.raises(ValueError, match="finite"):
        retrieval_scores(np.array([[1.0, np.nan]]), np.ones((1, 1)))
    with pytest.raises(ValueError, match="block_size"):
        retrieval_scores(np.ones((3, 2)), np.ones((3, 1)), block_size=0)


@pytest.mark.slow
@pytest.mark.parametrize("nested", [False, True])
def test_memory_stays_bounded_and_far_below_the_full_similarity_matrix(monkeypatch, nested):
    # A 64th of the real budget: 1 MB, where the full matrix alone would take 32 MB.
    monkeypatch.setattr(ranking, "BLOCK_ENTRIES", 2**14)
    rng = np.random.default_rng(0)
    n = 2000
    vectors = rng.normal(size=(n, 8)).astype("f")
    values = np.eye(2)[rng.integers(0, 2, n)]
    known = (rng.random((n, 2)) < 0.9).astype("f") if nested else None
    tracemalloc.start()
    try:
        retrieval_scores(vectors, values, known)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    inputs = 3 * n * 8 * 8 + 20 * n * 2
    assert peak < inputs + 2**20


def test_documents_known_alike_are_ranked_once_for_all_labels(monkeypatch):
    rng = np.random.default_rng(0)
    calls = []
    first = _rankings.nearest_first

    def counted(keys, depth):
        calls.append(keys.shape)
        return first(keys, depth)

    monkeypatch.setattr(_rankings, "nearest_first", counted)
    retrieval_scores(rng.normal(size=(30, 4)), np.ones((30, 5)), block_size=10)
    assert calls == [(10, 30)] * 3


def naive_queries(vectors, values, known, label):
    """p@1 and AP@R of each query for a label, by full sorts."""
    gallery = [i for i in range(len(vectors)) if known[i, label] > 0 and any(vectors[i])]
    carrying = {i for i in gallery if values[i, label] >= 0.5}
    r = len(carrying) - 1
    scores = {}
    for query in carrying if r else ():
        others = [i for i in gallery if i != query]
        others.sort(key=lambda i: (-cosine_steps(vectors[query], vectors[i]), i))
        hits = [i in carrying for i in others[:r]]
        precisions = [sum(hits[: i + 1]) / (i + 1) for i in range(r) if hits[i]]
        scores[query] = (float(hits[0]), sum(precisions) / r)
    return scores


@pytest.mark.slow
@given(corpora(), st.sampled_from([None, 1, 3]))
def test_scores_and_effects_of_queries_equal_the_naive_computation(corpus, block_size):
    vectors, values, known = corpus
    got = query_scores(vectors, values, known, block_size=block_size)
    for label in range(values.shape[1]):
        queries = naive_queries(vectors, values, known, label)
        for i in range(len(vectors)):
            assert got.asks[i, label] == (i in queries)
            expected = queries.get(i, (0.0, 0.0))
            assert (got.p_at_1[i, label], got.map_at_r[i, label]) == pytest.approx(expected)
            # The effect of a document: what the others have with it, less what without.
            without = known.copy()
            without[i, label] = 0
            left = naive_queries(vectors, values, without, label)
            effects = [
                sum(queries[j][k] - left[j][k] for j in queries if j != i) if left else 0.0
                for k in (0, 1)
            ]
            assert got.p_at_1_effect[i, label] == pytest.approx(effects[0])
            assert got.map_at_r_effect[i, label] == pytest.approx(effects[1], abs=1e-9)


@pytest.mark.slow
@given(corpora())
def test_the_mean_over_queries_is_the_score_of_the_label(corpus):
    vectors, values, known = corpus
    queries, scores = query_scores(vectors, values, known), retrieval_scores(vectors, values, known)
    counts = queries.asks.sum(axis=0)
    np.testing.assert_array_equal(counts, scores.per_label.n_queries)
    for name in ("p_at_1", "map_at_r"):
        sums = getattr(queries, name).sum(axis=0)
        of_labels = getattr(scores.per_label, name)
        np.testing.assert_allclose(sums[counts > 0], (of_labels * counts)[counts > 0], atol=1e-9)
