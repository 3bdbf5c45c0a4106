import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_embtune.metrics import retrieval_scores
from spacy_embtune.plots.neighbors import find_neighbors, nearest_rows, neighbor_matrix

from ..metrics.made_up import corpora, cosine_steps
from ..reports.cases import make_documents


def make(vectors, values=None, known=None, *, exclusive=False):
    values = np.zeros((len(vectors), 0)) if values is None else values
    return make_documents(vectors, vectors, values, known, exclusive=exclusive)


def rank(vectors, query, candidates):
    """RETURNS (list[int]): Those of the candidates that have a vector, the nearest first."""
    found = [j for j in candidates if any(vectors[j])]
    return sorted(found, key=lambda j: (-cosine_steps(query, vectors[j]), j))


@given(corpora(), st.integers(1, 5))
def test_nearest_rows_equal_the_naive_computation(corpus, k):
    vectors = corpus[0]
    found = nearest_rows(make(vectors), "tuned", k)
    for i, row in enumerate(found):
        others = [j for j in range(len(vectors)) if j != i]
        expected = rank(vectors, vectors[i], others)[:k] if any(vectors[i]) else []
        assert row.tolist() == expected + [-1] * (k - len(expected))


@pytest.mark.slow
@given(corpora(), st.integers(1, 20))
def test_neighbors_of_a_query_equal_the_naive_computation(corpus, k):
    vectors = corpus[0]
    query = np.arange(1.0, vectors.shape[1] + 1)
    if not vectors.any():
        with pytest.raises(ValueError, match="None of the"):
            find_neighbors(make(vectors), make(query[None]), "base", k)
        return
    found = find_neighbors(make(vectors), make(query[None]), "base", k)
    assert [row for row, _ in found] == rank(vectors, query, range(len(vectors)))[:k]
    for row, cosine in found:
        expected = query @ vectors[row] / np.linalg.norm(query) / np.linalg.norm(vectors[row])
        assert cosine == pytest.approx(expected)


def test_a_document_that_equals_the_query_is_found():
    documents = make(np.eye(3))
    assert find_neighbors(documents, make(np.eye(3)[:1]), "tuned", 1) == [(0, 1.0)]


def test_queries_and_numbers_that_ask_for_nothing_are_an_error():
    documents = make(np.eye(3))
    with pytest.raises(ValueError, match="The query has no vector"):
        find_neighbors(documents, make(np.zeros((1, 3))), "base", 1)
    with pytest.raises(ValueError, match="k is 0"):
        nearest_rows(documents, "base", 0)
    with pytest.raises(ValueError, match="k is 0"):
        find_neighbors(documents, documents, "base", 0)


@pytest.mark.slow
@given(corpora(), st.booleans())
def test_the_matrix_equals_the_naive_computation(corpus, exclusive):
    vectors, values, known = corpus
    n, n_labels = values.shape
    if exclusive:
        values = np.eye(n_labels)[np.nan_to_num(values).argmax(axis=1)]
        known = np.ones_like(values) * known[:, :1]
    carries = (known > 0) & (np.nan_to_num(values) >= 0.5)
    matrix = neighbor_matrix(make(vectors, values, known, exclusive=exclusive), "tuned")
    columns = [("ABCD"[j], carries[:, j], known[:, j] > 0) for j in range(n_labels)]
    if n_labels == 1:
        columns.append(("not A", columns[0][2] & ~carries[:, 0], columns[0][2]))
    if exclusive or n_labels == 1:
        anything = np.any([column for _, column, _ in columns], axis=0)
        columns = [(name, column, anything) for name, column, _ in columns]
    has_vector = vectors.any(axis=1)
    columns = [column for column in columns if (column[1] & has_vector).any()]
    assert matrix.labels == [name for name, _, _ in columns]
    for a, (_, row, _) in enumerate(columns):
        queries = np.flatnonzero(row & has_vector)
        assert matrix.counts[a] == queries.size
        for b, (_, column, is_known) in enumerate(columns):
            hits = []
            for i in queries:
                gallery = [j for j in range(n) if j != i and is_known[j]]
                nearest = rank(vectors, vectors[i], gallery)[:1]
                hits += [column[j] for j in nearest]
            expected = np.mean(hits) if hits else np.nan
            np.testing.assert_allclose(matrix.shares[a, b], expected)
    assert matrix.n_left_out == 0
    assert matrix.n_sampled is None


@given(corpora())
def test_its_p_at_1_is_that_of_the_metrics(corpus):
    vectors, values, known = corpus
    if values.shape[1] == 1:
        return  # The absence of a lone label is a class here.
    matrix = neighbor_matrix(make(vectors, values, known), "base")
    expected = retrieval_scores(vectors, values, known).p_at_1
    assert matrix.p_at_1 == (None if expected is None else pytest.approx(expected))


def test_rows_of_exclusive_labels_sum_to_1_and_a_lone_label_does_not_count_its_absence():
    rng = np.random.default_rng(0)
    vectors, classes = rng.normal(size=(40, 3)), np.arange(40) % 3
    matrix = neighbor_matrix(make(vectors, np.eye(3)[classes], exclusive=True), "base")
    np.testing.assert_allclose(matrix.shares.sum(axis=1), 1)
    lone = neighbor_matrix(make(vectors, np.eye(3)[classes][:, :1]), "base")
    assert lone.labels == ["A", "not A"]
    np.testing.assert_allclose(lone.shares.sum(axis=1), 1)
    assert lone.p_at_1 == lone.shares[0, 0]


def test_of_many_labels_the_commonest_and_of_many_documents_some_are_looked_at():
    rng = np.random.default_rng(0)
    classes = np.r_[np.arange(5), rng.integers(0, 3, 295)]
    documents = make(rng.normal(size=(300, 4)), np.eye(5)[classes], exclusive=True)
    everything = neighbor_matrix(documents, "base")
    some = neighbor_matrix(documents, "base", most=3)
    assert (some.labels, some.n_left_out) == (["A", "B", "C"], 2)
    np.testing.assert_allclose(some.shares, everything.shares[:3, :3])
    drawn = neighbor_matrix(documents, "base", most_documents=200)
    assert drawn.n_sampled == 200
    assert drawn.counts.tolist() == everything.counts.tolist()
    np.testing.assert_allclose(drawn.shares[:3, :3], everything.shares[:3, :3], atol=0.15)
    assert not np.array_equal(drawn.shares, everything.shares)
