"""What is known of a corpus is the same, sparse or dense."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from spacy_embtune.labels import count_labels, make_sparse_targets, make_targets
from spacy_embtune.metrics import retrieval_scores

LABELS = ["A", "B", "C", "D"]
VALUES = st.sampled_from([0.0, 0.25, 1.0])
CATS = st.lists(st.dictionaries(st.sampled_from([*LABELS, "other"]), VALUES), max_size=12)
EXCLUSIVE = st.lists(st.sampled_from([{label: 1.0} for label in LABELS] + [{}, {"A": 0.0}]))


@pytest.mark.slow
@given(CATS, st.data())
def test_sparse_targets_are_the_dense_ones(cats, data):
    sparse = make_sparse_targets(cats, LABELS, exclusive=False)
    dense = make_targets(cats, LABELS, exclusive=False)
    for i, mapping in enumerate(cats):
        for j, label in enumerate(LABELS):
            assert dense.known[i, j] == (label in mapping)
            assert dense.values[i, j] == mapping.get(label, 0.0)
    assert sparse.shape == dense.values.shape
    rows = data.draw(st.lists(st.sampled_from(range(len(cats))), max_size=9)) if cats else []
    for part in (sparse.select(rows), sparse.subset(rows).select(range(len(rows)))):
        assert_array_equal(part.values, dense.values[rows])
        assert_array_equal(part.known, dense.known[rows])
    assert_array_equal(sparse.count_labels(), count_labels(dense))
    weights = np.arange(len(cats)) / 2
    both = (part._replace(weights=weights) for part in (sparse, dense))
    assert_allclose(*map(count_labels, both), rtol=1e-6)
    assert_array_equal(sparse._replace(weights=weights).select(rows).weights, weights[rows])
    assert_array_equal(sparse.row_sums(), dense.values.sum(axis=1))
    assert_array_equal(sparse.is_known(), dense.known.any(axis=1))


@given(EXCLUSIVE)
def test_a_positive_class_implies_the_absence_of_others(cats):
    sparse = make_sparse_targets(cats, LABELS, exclusive=True)
    assert len(sparse.values) == sum(map(len, cats))
    dense = make_targets(cats, LABELS, exclusive=True)
    for i, mapping in enumerate(cats):
        is_known = list(mapping.values()) == [1.0]
        assert sparse.is_complete[i] == is_known
        assert dense.known[i].all() == is_known
    assert_array_equal(sparse.count_labels(), count_labels(dense))


@pytest.mark.slow
@settings(deadline=None)
@given(st.integers(0, 99), st.integers(2, 20), st.floats(0, 1), st.booleans())
def test_scores_of_sparse_targets_are_those_of_dense_ones(seed, n_docs, share, exclusive):
    rng = np.random.RandomState(seed)
    if exclusive:
        cats = [{LABELS[rng.randint(4)]: 1.0} if rng.rand() < share else {} for _ in range(n_docs)]
    else:
        cats = [
            {label: float(rng.rand() < 0.5) for label in LABELS if rng.rand() < share}
            for _ in range(n_docs)
        ]
    vectors = rng.randint(-1, 2, size=(n_docs, 3))
    dense = make_targets(cats, LABELS, exclusive=exclusive)
    expected = retrieval_scores(vectors, dense.values, dense.known)
    sparse = make_sparse_targets(cats, LABELS, exclusive=exclusive)
    for block_size in (None, 1, 3):
        found = retrieval_scores(vectors, sparse, block_size=block_size)
        # Sums over blocks are rounded otherwise than sums over all queries.
        assert_allclose(found.per_label, expected.per_label, rtol=1e-12)
        if block_size is None:
            assert_array_equal(found.per_label, expected.per_label)
            assert found[:3] == expected[:3]


def test_the_memory_of_a_corpus_grows_with_what_is_known():
    labels = [f"tag {i}" for i in range(20_000)]
    cats = [{labels[i]: 1.0, labels[-1 - i]: 0.0} for i in range(5_000)]
    targets = make_sparse_targets(cats, labels, exclusive=False)
    assert sum(array.nbytes for array in targets[:4]) < 1_000_000
    assert targets.count_labels().sum() == 10_000


def test_the_digest_tells_targets_apart():
    made = [
        make_sparse_targets(cats, LABELS, exclusive=exclusive).digest()
        for cats in ([{"A": 1.0}], [{"A": 0.0}], [{"B": 1.0}], [{}, {"A": 1.0}], [{}])
        for exclusive in (True, False)
    ]
    assert len(set(made)) == len(made)
    again = make_sparse_targets([{"A": 1.0}], LABELS, exclusive=True)
    assert again.digest() == made[0]


def test_an_invalid_value_is_an_error_with_its_document():
    for value, cause in ((2.0, "outside"), (float("nan"), "not finite"), ("x", "a str")):
        with pytest.raises(ValueError, match=f"document 1: .*{cause}"):
            make_sparse_targets([{}, {"A": value}], LABELS, exclusive=False)
    with pytest.raises(ValueError, match=r"document 0: .*sum to more than 1"):
        make_sparse_targets([{"A": 1.0, "B": 1.0}], LABELS, exclusive=True)
    with pytest.raises(ValueError, match="targets of 1 documents, not 2"):
        retrieval_scores(np.eye(2), make_sparse_targets([{}], LABELS, exclusive=False))
